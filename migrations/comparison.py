"""Compares the functions, views and triggers of a database with this release: ``placewire migrate --check``."""

from chassis.postgres.database import Connection as Session
from migrations.applying import outdated
from migrations.schema_objects import load

# As Postgres prints them: without comments outside the body.
DEFINITIONS = """
SELECT CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || proname AS name,
       string_agg(pg_get_functiondef(p.oid), ';' ORDER BY pg_get_function_identity_arguments(p.oid)) AS definition
  FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace AND nspname IN ('es', 'public', 'vault')
 WHERE prokind = 'f'
 GROUP BY 1
"""


async def differing(session: Session) -> list[str]:
    """Return the names of what is missing or outdated, and of functions that were changed by hand.

    The functions are applied and rolled back, so Postgres itself compares them. Locks no table.
    """
    stale = {one.name for one in await outdated(session, load())}
    before = await _definitions(session)
    transaction = session.transaction()
    await transaction.start()
    try:
        for one in load():
            if one.function_count and not one.once and one.name not in stale:
                await session.execute(one.sql)
        after = await _definitions(session)
    finally:
        await transaction.rollback()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(stale | changed)


async def _definitions(session: Session) -> dict[str, str]:
    return {row["name"]: row["definition"] for row in await session.fetch(DEFINITIONS)}
