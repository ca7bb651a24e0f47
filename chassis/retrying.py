"""When work is done again, and for how long."""

import asyncio
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_exponential_jitter

from chassis.database import Database
from chassis.errors import Contended, Exhausted, OutcomeUnknown, Refused, Unavailable

# A database that needs longer has troubles of its own.
WELL_WITHIN_S = 1.0
# More than fits into its memory, so that a full disk tells.
WITH_A_FILE = """
SET LOCAL work_mem = '64kB';
SELECT count(*) FROM generate_series(1, 20000)
"""

Work = Callable[[], Awaitable[None]]


async def until_database_is_back(work: Work) -> None:
    """Do ``work``, again and again while it raises ``Unavailable``, with pauses of up to 3 s."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_never,
        wait=wait_exponential_jitter(multiplier=0.1, max=3),
        reraise=True,
    ):
        with attempt:
            await work()


async def unless_its_own_doing(work: Work, database: Database, *, most: int) -> None:
    """``until_database_is_back``, except for work that itself makes the database break off.

    Raises ``Refused`` at the ``most``-th time that it was broken off midway while the database was well. What waits
    for a connection, or for a database that is away, does so for ever.
    """
    broken_off = 0

    async def counted() -> None:
        nonlocal broken_off
        try:
            await work()
        except (OutcomeUnknown, Exhausted) as error:
            broken_off += await _is_well(database)
            if broken_off >= most:
                raise Refused(f"given up: the database broke it off {most} times, and was well each time") from error
            raise

    await until_database_is_back(counted)


async def _is_well(database: Database) -> bool:
    """Whether ``database`` answers at once, over another connection, and has room on its disk."""
    try:
        async with asyncio.timeout(WELL_WITHIN_S), database.transaction(readonly=True) as connection:
            await connection.execute(WITH_A_FILE)
    except (Unavailable, Contended, TimeoutError):
        return False
    return True
