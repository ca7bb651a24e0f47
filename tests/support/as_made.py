"""Find the differences between a copied database and its template, and undo them."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# A copy that grew by more bytes than this is dropped. A new copy is then faster than a restore, and faster to scan.
MAX_GROWTH = 8_000_000

OURS = "nspname !~ '^pg_' AND nspname <> 'information_schema'"
TABLES = f"""
SELECT format('%I.%I', nspname, relname) AS name, (
           SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind IN ('r', 'p') AND NOT relispartition AND {OURS} ORDER BY 1
"""
NAMES = f"""
SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind = $1 AND {OURS} ORDER BY 1
"""
ROWS = "SELECT '{name}' AS name, md5(string_agg(t::text, chr(10) ORDER BY t::text)) AS digest FROM {name} t"
POSITION = "SELECT '{name}' AS name, last_value || ' ' || is_called AS digest FROM {name}"

# Everything other than rows that a test can change: definitions, settings, and statistics of tables, which affect
# plans. Excludes the temporary tables of `verify`.
CATALOG = f"""
WITH ours AS MATERIALIZED (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {OURS}
)
SELECT (SELECT hash_array(array_agg((oid, relname, relkind, relhasindex, relhastriggers, relowner, relacl,
                                     reloptions, relrowsecurity, relpersistence)::text ORDER BY oid)) FROM ours),
       (SELECT (count(*), max(a.xmin::text::bigint)) FROM pg_attribute a JOIN ours ON ours.oid = attrelid),
       (SELECT (count(*), max(i.xmin::text::bigint)) FROM pg_index i JOIN ours ON ours.oid = indrelid),
       (SELECT (count(*), max(t.xmin::text::bigint)) FROM pg_trigger t JOIN ours ON ours.oid = tgrelid),
       (SELECT (count(*), max(o.xmin::text::bigint)) FROM pg_constraint o JOIN ours ON ours.oid = conrelid),
       (SELECT (count(*), max(s.xmin::text::bigint)) FROM pg_statistic s JOIN ours ON ours.oid = starelid),
       (SELECT (count(*), max(xmin::text::bigint)) FROM pg_proc),
       (SELECT (count(*), max(xmin::text::bigint)) FROM pg_policy),
       (SELECT (count(*), max(xmin::text::bigint)) FROM pg_extension),
       (SELECT array_agg(reltuples ORDER BY oid) FROM ours WHERE relkind IN ('r', 'p')),
       (SELECT count(*) FROM pg_namespace WHERE {OURS}),
       (SELECT array_agg((rolname, setconfig)::text ORDER BY 1) FROM pg_db_role_setting
          LEFT JOIN pg_roles r ON r.oid = setrole
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
SIZE = "SELECT pg_database_size(current_database())"

Digests: TypeAlias = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class State:
    """The state of a database. ``tables``, ``views``, ``sequences``: a digest of the content of each, by name."""

    catalog: str
    tables: Digests
    views: Digests
    sequences: Digests


@dataclass(frozen=True, slots=True)
class Template:
    """The content of a new copy. ``rows``: the rows of each non-empty table, in the format of COPY."""

    state: State
    size: int
    columns: Mapping[str, list[str]]
    rows: Mapping[str, bytes]

    @classmethod
    async def read(cls, connection: Connection) -> "Template":
        columns = {row["name"]: row["columns"] for row in await connection.fetch(TABLES)}
        names = {kind: [row[0] for row in await connection.fetch(NAMES, kind.encode())] for kind in "mS"}
        state = State(
            await _catalog(connection),
            await _digests(connection, ROWS, list(columns)),
            await _digests(connection, ROWS, names["m"]),
            await _digests(connection, POSITION, names["S"]),
        )
        rows = {name: await _copied(connection, name, columns[name]) for name, digest in state.tables.items() if digest}
        return cls(state, await connection.fetchval(SIZE), columns, rows)

    async def state_of(self, copy: Connection) -> State | None:
        """Return the current state of ``copy``; ``None`` when it has grown too much, or lacks a table."""
        if await copy.fetchval(SIZE) > self.size + MAX_GROWTH:
            return None
        original = self.state
        try:
            return State(
                await _catalog(copy),
                await _digests(copy, ROWS, original.tables),
                await _digests(copy, ROWS, original.views),
                await _digests(copy, POSITION, original.sequences),
            )
        except asyncpg.UndefinedTableError:
            return None

    async def restore(self, copy: Connection, current: State, original: State) -> bool:
        """Restore the template's rows. Return whether the copy then has its ``original`` state."""
        if current.catalog != original.catalog or current.tables.keys() != original.tables.keys():
            return False
        async with copy.transaction():
            # Disables triggers and foreign keys.
            await copy.execute("SET LOCAL session_replication_role = replica")
            for name in _different(current.tables, original.tables):
                await copy.execute(f"DELETE FROM {name}")
                if name in self.rows:
                    schema, _, table = name.partition(".")
                    await copy.copy_to_table(
                        table, schema_name=schema, source=BytesIO(self.rows[name]), columns=self.columns[name]
                    )
            for name in _different(current.sequences, original.sequences):
                value, _, is_called = str(original.sequences[name]).partition(" ")
                await copy.execute(f"SELECT setval('{name}', {value}, {is_called})")
            for name in _different(current.views, original.views):
                await copy.execute(f"REFRESH MATERIALIZED VIEW {name}")
        return await self.state_of(copy) == original


def _different(current: Digests, original: Digests) -> list[str]:
    return [name for name, digest in current.items() if digest != original[name]]


async def _catalog(connection: Connection) -> str:
    row = await connection.fetchrow(CATALOG)
    assert row is not None
    return repr(tuple(row))


async def _digests(connection: Connection, query: str, names: "list[str] | Digests") -> Digests:
    rows = await connection.fetch(" UNION ALL ".join(query.format(name=name) for name in names))
    return {row["name"]: row["digest"] for row in rows}


async def _copied(connection: Connection, name: str, columns: list[str]) -> bytes:
    schema, _, table = name.partition(".")
    output = BytesIO()
    await connection.copy_from_table(table, schema_name=schema, output=output, columns=columns)
    return output.getvalue()
