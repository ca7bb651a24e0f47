"""Applies the files of ``functions/`` to a database, in the migration's transaction, and says which are missing."""

from collections.abc import Collection
from pathlib import Path

import asyncpg
import structlog

from chassis.postgres.database import Connection as Session
from migrations.schema_objects import SchemaObject, is_newer, load, release

HERE = Path(__file__).parent
RECORDED = "SELECT name, checksum, release FROM public.schema_object"
HAS_RECORDS = "SELECT to_regclass('public.schema_object') IS NOT NULL"
# What a later release applied stays recorded as it is.
RECORD = """
INSERT INTO public.schema_object AS o (name, checksum, release) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, release = excluded.release, applied_at = DEFAULT
 WHERE (o.checksum, o.release) <> (excluded.checksum, excluded.release)
   AND string_to_array(o.release, '.')::integer[] <= string_to_array(excluded.release, '.')::integer[]
"""
# The names of what is in the database, as the files are named.
PRESENT = """
SELECT CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || name
  FROM (SELECT pronamespace AS namespace, proname AS name FROM pg_proc
        UNION SELECT relnamespace, relname FROM pg_class WHERE relkind IN ('v', 'm', 'c')
        UNION SELECT c.relnamespace, c.relname || '_triggers' FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
               WHERE NOT t.tgisinternal) AS found
  JOIN pg_namespace n ON n.oid = namespace AND nspname IN ('es', 'public', 'vault')
"""
FORMS = """
SELECT name, array_agg(form) AS forms
  FROM (SELECT CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || proname AS name,
               p.oid::regprocedure::text AS form
          FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace AND nspname IN ('es', 'public', 'vault')) AS forms
 WHERE name = ANY ($1::text[])
 GROUP BY name
"""

log = structlog.get_logger()


class SchemaObjectError(Exception):
    """A file in ``functions/`` breaks a rule of migrations/README.md."""


def statements(name: str) -> str:
    """Return the SQL file of this package. Its parameters are set: the names of every object, and the release."""
    names = "{" + ",".join(one.name for one in load()) + "}"
    sql = (HERE / f"{name}.sql").read_text(encoding="utf-8")
    return sql.replace(":'names'", f"'{names}'").replace(":'release'", f"'{release()}'")


async def unapplied(session: Session) -> list[str]:
    """Return the names of what this release has and the database, by its records, has not. Any role may ask.

    What a later release applied is good: during an upgrade the previous release must be able to continue, and to start.
    """
    records = {row["name"]: row for row in await session.fetch(RECORDED)}
    return [one.name for one in load() if not _is_as_recorded(one, records.get(one.name))]


async def outdated(session: Session, objects: Collection[SchemaObject]) -> list[SchemaObject]:
    """Return those of ``objects`` that are missing, or differ from what this or an earlier release applied."""
    has_records = await session.fetchval(HAS_RECORDS)
    records = {row["name"]: row for row in await session.fetch(RECORDED)} if has_records else {}
    present = {row[0] for row in await session.fetch(PRESENT)}

    def is_outdated(one: SchemaObject) -> bool:
        return one.name not in present or not (one.once or _is_as_recorded(one, records.get(one.name)))

    return [one for one in objects if is_outdated(one)]


def _is_as_recorded(one: SchemaObject, record: asyncpg.Record | None) -> bool:
    if record is None:
        return False
    return one.once or record["checksum"] == one.checksum or is_newer(record["release"], release())


async def apply(session: Session, objects: Collection[SchemaObject]) -> None:
    """Apply those of ``objects`` that are outdated. Raises ``SchemaObjectError`` for a changed signature."""
    stale = await outdated(session, objects)
    for one in stale:
        await session.execute(one.sql)
    forms = {row["name"]: row["forms"] for row in await session.fetch(FORMS, [one.name for one in stale])}
    for one in stale:
        if one.function_count and len(forms[one.name]) != one.function_count:
            raise SchemaObjectError(f"{', '.join(forms[one.name])}: a function with other arguments needs another name")
    if stale:
        log.info("schema_objects.applied", count=len(stale))


async def record(session: Session) -> None:
    """Record every object as applied by this release."""
    await session.executemany(RECORD, [(one.name, one.checksum, release()) for one in load()])
