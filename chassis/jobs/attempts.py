"""Count the attempts of a job across all workers that claimed it.

An attempt is spent when it fails: its transaction conflicted with another one, or its lease expired because the worker
died. No attempt is spent when a worker shuts down or Postgres does not answer. Rules: docs/reliability.md.
"""

from collections.abc import Awaitable, Callable

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_exponential_jitter

from chassis.errors import Contended, Fenced, RuleViolation, Unavailable
from chassis.jobs import queue
from chassis.jobs.queue import Claim
from chassis.postgres.database import Database

# A job becomes a dead letter at this failure.
MAX_ATTEMPTS = 6

log = structlog.get_logger()


class Attempts:
    """Counts the failed attempts of ``claimed``. ``settled`` is true once the job's outcome has been reported."""

    def __init__(self, database: Database, claimed: Claim) -> None:
        self._database = database
        self._claimed = claimed
        # ``claimed.attempts`` includes the attempt that begins now. All earlier ones failed.
        self._failed = claimed.attempts - 1
        self.settled = False

    def require_left(self) -> None:
        """Raise ``RuleViolation`` if earlier claims spent all attempts of the job."""
        if self._failed >= MAX_ATTEMPTS:
            raise RuleViolation(f"given up: {self._failed} attempts failed; in the last one the worker died")

    async def retry(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work``. Repeat it while it raises ``Contended``, with pauses of up to 3 s. Record each failed attempt.

        Raises ``RuleViolation`` at the job's ``MAX_ATTEMPTS``-th failure. Other exceptions of ``work`` pass through.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Contended),
            stop=stop_never,
            wait=wait_exponential_jitter(multiplier=0.05, max=3),
            reraise=True,
        ):
            with attempt:
                try:
                    await work()
                except Contended as error:
                    await self._count(error)
                    raise

    async def _count(self, error: Contended) -> None:
        self._failed += 1
        if self._failed >= MAX_ATTEMPTS:
            raise RuleViolation(
                f"given up: {MAX_ATTEMPTS} attempts failed, the last one in a conflict with another transaction"
            ) from error
        try:
            async with self._database.connection() as connection:
                begun = await queue.begin_attempt(connection, self._claimed)
        except (Unavailable, Contended) as problem:
            # The database does not count this attempt, but this process does.
            log.warning("job.attempt_not_recorded", job_id=str(self._claimed.id), reason=str(problem))
            return
        if begun is None:
            raise Fenced("another worker holds the job, or it has ended")
        self._failed = begun - 1
