"""Wait until a database has the schema of this release: ``placewire migrate --wait``. Processes start after that."""

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

    A newer schema is accepted: during an upgrade, the previous release must be able to run and to start. ``url`` may
    have any role of Placewire. Raises ``TimeoutError`` with the last state.
    """
    newest, seen = newest_revision(), "it could not be reached"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    revision, missing = await _state(url)
                    if revision is not None and revision >= newest and not missing:
                        return revision
                    seen = f"it is at revision {revision}"
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
        revision = await connection.fetchval(REVISION)
        return (None if revision is None else str(revision)), await unapplied(connection)
    finally:
        await connection.close()
