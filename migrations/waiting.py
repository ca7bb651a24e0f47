"""Waits until a database is as a release needs it: ``placewire migrate --wait``, the gate in front of each process."""

import asyncio

import asyncpg

from chassis.errors import Unavailable
from chassis.postgres.database import connect_alone
from migrations.runner import newest_revision

PAUSE_S = 1.0
REVISION = "SELECT version_num FROM public.alembic_version"


async def wait(url: str, *, within_s: float) -> str:
    """Return the revision of the database at ``url`` once it is at least the newest that this release knows.

    A newer one is good: the release before must be able to go on, and to start, while the next is brought in.
    ``url``: any role of ours. Raises ``TimeoutError`` with what was seen last.
    """
    newest, seen = newest_revision(), "it was not reached"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    found = await _revision(url)
                    if found is not None and found >= newest:
                        return found
                    seen = f"it is at revision {found}"
                except (Unavailable, OSError, asyncpg.PostgresError) as error:
                    seen = f"{type(error).__name__}: {error}"
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise TimeoutError(f"the database is not at revision {newest} after {within_s:g} s: {seen}") from None


async def _revision(url: str) -> str | None:
    connection = await connect_alone(url, application_name="placewire-waits")
    try:
        found = await connection.fetchval(REVISION)
        return None if found is None else str(found)
    finally:
        await connection.close()
