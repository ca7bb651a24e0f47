"""Retry work while the database does not answer, with a limit for jobs that make the database fail."""

import asyncio
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_exponential_jitter

from chassis.errors import Contended, Exhausted, OutcomeUnknown, RuleViolation, Unavailable
from chassis.postgres.database import Database

# A database that takes longer than this to answer counts as unhealthy.
ANSWER_WITHIN_S = 1.0
# More rows than fit into work_mem, so that Postgres writes a temporary file: it fails when the disk is full.
WRITE_TEMPORARY_FILE = """
SET LOCAL work_mem = '64kB';
SELECT count(*) FROM generate_series(1, 20000)
"""

Work = Callable[[], Awaitable[None]]


async def retry_while_unavailable(work: Work) -> None:
    """Run ``work``. Repeat it without a limit while it raises ``Unavailable``, with pauses of up to about 3 s."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_never,
        wait=wait_exponential_jitter(multiplier=0.1, max=3),
        reraise=True,
    ):
        with attempt:
            await work()


async def retry_unless_job_is_the_cause(work: Work, database: Database, *, max_attempts: int) -> None:
    """Run ``work`` as ``retry_while_unavailable`` does, but limit the failures that ``work`` itself causes.

    Raises ``RuleViolation`` when the database ended ``work`` ``max_attempts`` times although it was healthy. Failures
    to get a connection do not count, nor failures while the database is away.
    """
    failures = 0

    async def counted() -> None:
        nonlocal failures
        try:
            await work()
        except (OutcomeUnknown, Exhausted) as error:
            failures += await _is_healthy(database)
            if failures >= max_attempts:
                raise RuleViolation(
                    f"given up: the database ended the transaction {max_attempts} times, but was healthy each time"
                ) from error
            raise

    await retry_while_unavailable(counted)


async def _is_healthy(database: Database) -> bool:
    """Return whether ``database`` answers in time over another connection and has free disk space."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S), database.transaction(readonly=True) as connection:
            await connection.execute(WRITE_TEMPORARY_FILE)
    except (Unavailable, Contended, TimeoutError):
        return False
    return True
