"""Makes live rows what the log says: those found to differ, and those that events have touched since.

What was equal and has not been touched since is equal still, so the pause of the appends does not grow with the tables.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from chassis.database import Connection
from cli.replay.comparison import RowDifference
from cli.replay.tables import Table

# Temporary tables of the projecting session: the keys of rows to look at again.
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
SUSPECTED = """SELECT '{table}' AS name WHERE EXISTS (SELECT FROM pg_temp."suspect_{table}")"""

# First everything that differs goes, then what the log says comes: a unique value that moves from row to row is never
# held twice. The stored bytes are compared, whatever the type. Plan: the suspects, then both tables by primary key.
TAKE_AWAY = """
DELETE FROM public."{table}" l USING (SELECT DISTINCT {key} FROM pg_temp."suspect_{table}") s
 WHERE {l_is_s} AND NOT EXISTS (
       SELECT FROM pg_temp."{table}" r WHERE {r_is_s} AND record_image_eq(ROW({r_columns}), ROW({l_columns})))
"""
PUT_IN = """
INSERT INTO public."{table}" ({columns})
SELECT {r_columns} FROM (SELECT DISTINCT {key} FROM pg_temp."suspect_{table}") s JOIN pg_temp."{table}" r ON {r_is_s}
 WHERE NOT EXISTS (SELECT FROM public."{table}" l WHERE {l_is_s})
"""
WRITABLE = "SET default_transaction_read_only = off"
READ_ONLY = "SET default_transaction_read_only = on"


@dataclass(frozen=True, slots=True)
class Mended:
    """Of one table: rows that were taken away because they differed, and rows put in as the log has them."""

    table: str
    taken_away: int
    put_in: int


@asynccontextmanager
async def writable(session: Connection) -> AsyncIterator[None]:
    """The session's transactions may write, for as long as the block lasts."""
    await session.execute(WRITABLE)
    try:
        yield
    finally:
        if not session.is_closed():
            await session.execute(READ_ONLY)


async def prepare(session: Connection, tables: Iterable[Table]) -> None:
    async with writable(session):
        for table in tables:
            await session.execute(SUSPECTS.format(**parts(table)))
        await session.execute(REMEMBER)


async def suspect(session: Connection, table: Table, differences: Sequence[RowDifference]) -> None:
    """Look at these rows again when the time comes."""
    keys = [dict(zip(table.key, difference.key, strict=True)) for difference in differences]
    await session.execute(SUSPECT.format(**parts(table)), orjson.dumps(keys).decode())


async def suspect_what_is_touched(session: Connection, tables: Iterable[Table]) -> None:
    """From now on, whatever row a projection touches is looked at too."""
    async with writable(session):
        for table in tables:
            for event, image in IMAGES.items():
                await session.execute(REMEMBER_ON.format(event=event, image=image, **parts(table)))


async def analyze(session: Connection, tables: Iterable[Table]) -> None:
    names = ", ".join(f'pg_temp."suspect_{table.name}"' for table in tables)
    await session.execute(f"ANALYZE {names}")


async def mend(session: Connection, tables: Sequence[Table]) -> list[Mended]:
    """Every suspect row, in the caller's transaction."""
    suspected = " UNION ALL ".join(SUSPECTED.format(table=table.name) for table in tables)
    names = {row["name"] for row in await session.fetch(suspected)}
    return [await _mend(session, table) for table in tables if table.name in names]


async def _mend(session: Connection, table: Table) -> Mended:
    taken_away = count_of(await session.execute(TAKE_AWAY.format(**parts(table))))
    put_in = count_of(await session.execute(PUT_IN.format(**parts(table))))
    return Mended(table.name, taken_away, put_in)


def count_of(tag: str) -> int:
    """The number of rows in a statement's tag (``DELETE 7``)."""
    return int(tag.rpartition(" ")[2])


def parts(table: Table) -> dict[str, str]:
    """What the statements name: key and columns, also as those of ``l``, ``r`` and ``s``."""

    def columns(names: Sequence[str], of: str = "") -> str:
        return ", ".join(f'{of}"{name}"' for name in names)

    def same(one: str, other: str) -> str:
        return " AND ".join(f'{one}."{name}" = {other}."{name}"' for name in table.key)

    return {
        "table": table.name,
        "key": columns(table.key),
        "columns": columns(table.columns),
        "l_columns": columns(table.columns, "l."),
        "r_columns": columns(table.columns, "r."),
        "l_is_s": same("l", "s"),
        "r_is_s": same("r", "s"),
    }
