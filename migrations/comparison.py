"""Compare the functions, views and triggers of a database with this release: ``placewire migrate --check``."""

from chassis.postgres.database import Connection as Session
from migrations.applying import outdated
from migrations.schema_objects import load

# Definitions as Postgres prints them, without comments outside of the body.
DEFINITIONS = """
SELECT CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || proname AS name,
       string_agg(pg_get_functiondef(p.oid), ';' ORDER BY pg_get_function_identity_arguments(p.oid)) AS definition
  FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace AND nspname IN ('es', 'public', 'vault')
 WHERE prokind = 'f'
 GROUP BY 1
"""


async def differing(session: Session) -> list[str]:
    """Return the names of objects that are missing or outdated, and of functions that were changed by hand.

    Applies the functions, compares their definitions before and after, and rolls back. Locks no table.
    """
    stale = {object_.name for object_ in await outdated(session, load())}
    before = await _definitions(session)
    transaction = session.transaction()
    await transaction.start()
    try:
        for object_ in load():
            if object_.function_count and not object_.once and object_.name not in stale:
                await session.execute(object_.sql)
        after = await _definitions(session)
    finally:
        await transaction.rollback()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(stale | changed)


async def _definitions(session: Session) -> dict[str, str]:
    return {row["name"]: row["definition"] for row in await session.fetch(DEFINITIONS)}
