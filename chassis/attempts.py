"""Count how often a job was attempted, over all the workers that claimed it.

An attempt is spent when it fails: the transaction lost to another one, or the lease expired because the worker died.
No attempt is spent by a worker that shuts down, nor while Postgres does not answer. Rules: docs/reliability.md.
"""

from collections.abc import Awaitable, Callable

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_exponential_jitter

from chassis import jobs
from chassis.database import Database
from chassis.errors import Contended, Fenced, Refused, Unavailable
from chassis.jobs import Claim

# The failure at which a job becomes a dead letter.
MAX_ATTEMPTS = 6

log = structlog.get_logger()


class Attempts:
    """The failed attempts of ``claimed``. ``settled`` becomes true when the end of the job has been reported."""

    def __init__(self, database: Database, claimed: Claim) -> None:
        self._database = database
        self._claimed = claimed
        # A claim counts the attempt that it begins; those before it have failed.
        self._failed = claimed.attempts - 1
        self.settled = False

    def require_left(self) -> None:
        """Raise ``Refused`` when the attempts of earlier workers have used the job up."""
        if self._failed >= MAX_ATTEMPTS:
            raise Refused(f"given up: {self._failed} attempts failed, in the last one the worker died")

    async def retry(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` again while it raises ``Contended``, with pauses of up to 3 s; record each failed attempt.

        Raises ``Refused`` at the job's ``MAX_ATTEMPTS``-th failure; anything else that ``work`` raises passes.
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
            raise Refused(
                f"given up: {MAX_ATTEMPTS} attempts failed, in the last one another transaction was in the way"
            ) from error
        try:
            async with self._database.connection() as connection:
                begun = await jobs.begin_attempt(connection, self._claimed)
        except (Unavailable, Contended) as problem:
            # It is counted in this process all the same.
            log.warning("job.attempt_not_recorded", job_id=str(self._claimed.id), reason=str(problem))
            return
        if begun is None:
            raise Fenced("the job is somebody else's, or has ended")
        self._failed = begun - 1
