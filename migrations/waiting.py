"""Waits until a database is as a release needs it: ``placewire migrate --wait``, the gate in front of each process."""

import asyncio

import asyncpg

from chassis.errors import Unavailable
from chassis.postgres.database import connect_alone
from migrations.applying import unapplied
from migrations.runner import newest_revision

PAUSE_S = 1.0
REVISION = "SELECT version_num FROM public.alembic_version"


async def wait(url: str, *, within_s: float) -> str:
    """Return the revision of the database at ``url`` once it has the tables and functions that this release needs.

    Newer ones are good: the previous release must be able to continue, and to start, during an upgrade.
    ``url``: any role of ours. Raises ``TimeoutError`` with what was seen last.
    """
    newest, seen = newest_revision(), "it was not reached"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    found, missing = await _state(url)
                    if found is not None and found >= newest and not missing:
                        return found
                    seen = f"it is at revision {found}"
                    if missing:
                        seen += f", and {len(missing)} functions are to be applied: {', '.join(missing[:3])}"
                except (Unavailable, OSError, asyncpg.PostgresError) as error:
                    seen = f"{type(error).__name__}: {error}"
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise TimeoutError(f"the database is not at revision {newest} after {within_s:g} s: {seen}") from None


async def _state(url: str) -> tuple[str | None, list[str]]:
    """Return the revision, and the names of functions, views and triggers that are still to be applied."""
    connection = await connect_alone(url, application_name="placewire-waits")
    try:
        found = await connection.fetchval(REVISION)
        return (None if found is None else str(found)), await unapplied(connection)
    finally:
        await connection.close()
