"""Advance the sequences of a database that has moved, because logical replication copies rows but not sequences."""

from collections.abc import Mapping

from chassis.postgres.database import Connection

ALL = """
SELECT s.oid::regclass::text AS name, s.oid AS oid, owner.table_name, owner.column_name
  FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
  LEFT JOIN LATERAL (
       SELECT d.refobjid::regclass::text AS table_name, quote_ident(a.attname) AS column_name
         FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')) owner ON true
 WHERE s.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY 1
"""
# Returns null for a sequence that has not been used.
LAST = "SELECT pg_sequence_last_value($1::regclass)"
SET = "SELECT setval($1::regclass, $2)"
# The newest id of each sequence that belongs to no column. Read from the log, because read tables may lack old rows.
IDS_IN_USE = {
    "user_id_seq": """
        SELECT greatest((SELECT max(user_id) FROM users),
               (SELECT max(substring(stream_id FROM '\\d+$')::bigint) FROM es.stream
                 WHERE stream_type IN ('student', 'user')))""",
    "drive_id_seq": """
        SELECT max(substring(stream_id FROM '\\d+$')::bigint) FROM es.stream WHERE stream_type = 'drive'""",
    "registration_id_seq": """
        SELECT max((data ->> 'registration_id')::bigint) FROM es.event WHERE data ? 'registration_id'""",
    "attendance_id_seq": """
        SELECT max((data ->> 'attendance_id')::bigint) FROM es.event WHERE data ? 'attendance_id'""",
}


async def values(connection: Connection) -> dict[str, int]:
    """Return the last value of each sequence that has been used."""
    names = [row["name"] for row in await connection.fetch(ALL)]
    last = {name: await connection.fetchval(LAST, name) for name in names}
    return {name: value for name, value in last.items() if value is not None}


async def behind(connection: Connection, recorded: Mapping[str, int]) -> dict[str, int]:
    """Return the sequences that would return an id that is already in use, with the values that avoid this.

    ``recorded``: the sequences' values when the log was closed. Raises ``KeyError`` for a sequence without a column
    that ``IDS_IN_USE`` does not list.
    """
    needed = {}
    for row in await connection.fetch(ALL):
        name = row["name"]
        if row["table_name"] is not None:
            query = f"SELECT max({row['column_name']}) FROM {row['table_name']}"  # noqa: S608 - from the catalog
        else:
            query = IDS_IN_USE[name]
        in_use = max(await connection.fetchval(query) or 0, recorded.get(name, 0))
        # Read after the ids: in a running system, the sequence is then at least as high as they are.
        if in_use > (await connection.fetchval(LAST, name) or 0):
            needed[name] = in_use
    return needed


async def advance(connection: Connection, needed: Mapping[str, int]) -> None:
    """Set each sequence to its value in ``needed``. A rollback does not undo this, which is harmless."""
    for name, value in needed.items():
        await connection.execute(SET, name, value)
