"""Repair live rows from the projected log.

Only suspect rows are compared during the pause of appends: rows that differed, and rows that later events changed. All
other rows are still equal. So the pause does not grow with the size of the tables.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from chassis.postgres.database import Connection
from cli.replay.comparison import RowDifference
from cli.replay.tables import Table

# Temporary tables of the projecting session: the keys of rows to compare again.
SUSPECTS = 'CREATE TEMPORARY TABLE "suspect_{table}" AS SELECT {key} FROM public."{table}" WITH NO DATA'
SUSPECT = """
INSERT INTO pg_temp."suspect_{table}"
SELECT * FROM jsonb_populate_recordset(NULL::pg_temp."suspect_{table}", $1::jsonb)
"""
REMEMBER = """
CREATE FUNCTION pg_temp.remember_touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO pg_temp.%I SELECT %s FROM touched', 'suspect_' || TG_TABLE_NAME, TG_ARGV[0]);
    RETURN NULL;
END $$
"""
REMEMBER_ON = """
CREATE TRIGGER remember_{event} AFTER {event} ON pg_temp."{table}" REFERENCING {image} TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.remember_touched('{key}')
"""
IMAGES = {"insert": "NEW", "update": "NEW", "delete": "OLD"}
# Removes rows that are equal now. A later event makes its rows suspect again.
CLEARED = """
DELETE FROM pg_temp."suspect_{table}" s USING public."{table}" l, pg_temp."{table}" r
 WHERE {l_is_s} AND {r_is_s} AND record_image_eq(ROW({r_columns}), ROW({l_columns}))
"""
SUSPECTED = """SELECT '{table}' AS name WHERE EXISTS (SELECT FROM pg_temp."suspect_{table}")"""

# All differing rows are deleted before any row is inserted, so a unique value that moves between rows never exists
# twice. Compares the stored bytes of every column. Plan: the suspects, then both tables by primary key.
DELETE_DIFFERING = """
DELETE FROM public."{table}" l USING (SELECT DISTINCT {key} FROM pg_temp."suspect_{table}") s
 WHERE {l_is_s} AND NOT EXISTS (
       SELECT FROM pg_temp."{table}" r WHERE {r_is_s} AND record_image_eq(ROW({r_columns}), ROW({l_columns})))
"""
INSERT_MISSING = """
INSERT INTO public."{table}" ({columns})
SELECT {r_columns} FROM (SELECT DISTINCT {key} FROM pg_temp."suspect_{table}") s JOIN pg_temp."{table}" r ON {r_is_s}
 WHERE NOT EXISTS (SELECT FROM public."{table}" l WHERE {l_is_s})
"""
WRITABLE = "SET default_transaction_read_only = off"
READ_ONLY = "SET default_transaction_read_only = on"


@dataclass(frozen=True, slots=True)
class RepairedTable:
    """How many rows of ``table`` were deleted because they differed, and how many were inserted from the log."""

    table: str
    deleted: int
    inserted: int


@asynccontextmanager
async def writable(session: Connection) -> AsyncIterator[None]:
    """Allow the session's transactions to write while the block runs."""
    await session.execute(WRITABLE)
    try:
        yield
    finally:
        if not session.is_closed():
            await session.execute(READ_ONLY)


async def prepare(session: Connection, tables: Iterable[Table]) -> None:
    """Create a temporary table of suspect rows for each of ``tables``."""
    async with writable(session):
        for table in tables:
            await session.execute(SUSPECTS.format(**parts(table)))
        await session.execute(REMEMBER)


async def suspect(session: Connection, table: Table, differences: Sequence[RowDifference]) -> None:
    """Add the rows of ``differences`` to the suspect rows of ``table``."""
    keys = [dict(zip(table.key, difference.key, strict=True)) for difference in differences]
    await session.execute(SUSPECT.format(**parts(table)), orjson.dumps(keys).decode())


async def suspect_touched_rows(session: Connection, tables: Iterable[Table]) -> None:
    """Make every row that a projection changes from now on a suspect row."""
    async with writable(session):
        for table in tables:
            for event, image in IMAGES.items():
                await session.execute(REMEMBER_ON.format(event=event, image=image, **parts(table)))


async def clear(session: Connection, tables: Iterable[Table]) -> None:
    """Remove rows that are equal from the suspect rows, so that few rows are compared during the pause."""
    for table in tables:
        await session.execute(CLEARED.format(**parts(table)))


async def analyze(session: Connection, tables: Iterable[Table]) -> None:
    names = ", ".join(f'pg_temp."suspect_{table.name}"' for table in tables)
    await session.execute(f"ANALYZE {names}")


async def repair_suspects(session: Connection, tables: Sequence[Table]) -> list[RepairedTable]:
    """Make every suspect row equal to the projected row, in the caller's transaction."""
    suspected = " UNION ALL ".join(SUSPECTED.format(table=table.name) for table in tables)
    names = {row["name"] for row in await session.fetch(suspected)}
    return [await _repair_table(session, table) for table in tables if table.name in names]


async def _repair_table(session: Connection, table: Table) -> RepairedTable:
    deleted = count_of(await session.execute(DELETE_DIFFERING.format(**parts(table))))
    inserted = count_of(await session.execute(INSERT_MISSING.format(**parts(table))))
    return RepairedTable(table.name, deleted, inserted)


def count_of(tag: str) -> int:
    """Return the number of rows in a command tag such as ``DELETE 7``."""
    return int(tag.rpartition(" ")[2])


def parts(table: Table) -> dict[str, str]:
    """Return the identifiers that the statements need. ``l_``, ``r_``: columns of the live and the replayed table."""

    def columns(names: Sequence[str], prefix: str = "") -> str:
        return ", ".join(f'{prefix}"{name}"' for name in names)

    def same(left: str, right: str) -> str:
        return " AND ".join(f'{left}."{name}" = {right}."{name}"' for name in table.key)

    return {
        "table": table.name,
        "key": columns(table.key),
        "columns": columns(table.columns),
        "l_columns": columns(table.columns, "l."),
        "r_columns": columns(table.columns, "r."),
        "l_is_s": same("l", "s"),
        "r_is_s": same("r", "s"),
    }
