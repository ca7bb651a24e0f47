"""Apply the files of ``functions/`` to a database in the migration's transaction, and list those not applied yet."""

from collections.abc import Collection
from pathlib import Path

import asyncpg
import structlog

from chassis.postgres.database import Connection as Session
from migrations.schema_objects import SchemaObject, is_newer, load, release

HERE = Path(__file__).parent
RECORDED = "SELECT name, checksum, release FROM public.schema_object"
HAS_RECORDS = "SELECT to_regclass('public.schema_object') IS NOT NULL"
# The record of an object that a later release applied stays unchanged.
RECORD = """
INSERT INTO public.schema_object AS o (name, checksum, release) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, release = excluded.release, applied_at = DEFAULT
 WHERE (o.checksum, o.release) <> (excluded.checksum, excluded.release)
   AND string_to_array(o.release, '.')::integer[] <= string_to_array(excluded.release, '.')::integer[]
"""
# The objects in the database, by the names that their files have.
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
    """Return the SQL of a file of this package, with its parameters set: the names of all objects, and the release."""
    names = "{" + ",".join(object_.name for object_ in load()) + "}"
    sql = (HERE / f"{name}.sql").read_text(encoding="utf-8")
    return sql.replace(":'names'", f"'{names}'").replace(":'release'", f"'{release()}'")


async def unapplied(session: Session) -> list[str]:
    """Return the names of this release's objects that the database has not recorded as applied. Works for any role.

    Objects that a later release applied count as applied: during an upgrade, the previous release must be able to run
    and to start.
    """
    records = {row["name"]: row for row in await session.fetch(RECORDED)}
    return [object_.name for object_ in load() if not _is_applied(object_, records.get(object_.name))]


async def outdated(session: Session, objects: Collection[SchemaObject]) -> list[SchemaObject]:
    """Return the ``objects`` that are missing, or whose text differs from the applied one. Ignore newer releases."""
    has_records = await session.fetchval(HAS_RECORDS)
    records = {row["name"]: row for row in await session.fetch(RECORDED)} if has_records else {}
    present = {row[0] for row in await session.fetch(PRESENT)}

    def is_outdated(object_: SchemaObject) -> bool:
        return object_.name not in present or not (object_.once or _is_applied(object_, records.get(object_.name)))

    return [object_ for object_ in objects if is_outdated(object_)]


def _is_applied(object_: SchemaObject, record: asyncpg.Record | None) -> bool:
    if record is None:
        return False
    return object_.once or record["checksum"] == object_.checksum or is_newer(record["release"], release())


async def apply(session: Session, objects: Collection[SchemaObject]) -> None:
    """Apply the outdated ones of ``objects``. Raises ``SchemaObjectError`` for a changed signature."""
    stale = await outdated(session, objects)
    for object_ in stale:
        await session.execute(object_.sql)
    forms = {row["name"]: row["forms"] for row in await session.fetch(FORMS, [object_.name for object_ in stale])}
    for object_ in stale:
        name = object_.name
        if object_.function_count and len(forms[name]) != object_.function_count:
            raise SchemaObjectError(f"{', '.join(forms[name])}: a function with other arguments needs another name")
    if stale:
        log.info("schema_objects.applied", count=len(stale))


async def record(session: Session) -> None:
    """Record every object as applied by this release."""
    await session.executemany(RECORD, [(object_.name, object_.checksum, release()) for object_ in load()])
