"""The tables that events alone make, as the database describes them."""

from dataclasses import dataclass

from chassis.database import Connection
from cli.failures import WRONG_USE, Failure

# What the projections write. Each has a primary key; what has no event (credentials, jobs, keys) is not in here.
PROJECTED = ("users", "students", "drives", "evaluations")
# Sealed by events, not made from them: `ledgers` checks these.
LEDGERS = ("selections", "requested_selection")

DESCRIBE = """
SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum = ANY (i.indkey)) AS key
  FROM pg_class c
  JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
 GROUP BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


async def describe(connection: Connection) -> list[Table]:
    """The projected tables, in the order of ``PROJECTED``. Raises ``Failure`` when one is missing."""
    found = {
        row["name"]: Table(row["name"], tuple(row["key"]), tuple(row["columns"]))
        for row in await connection.fetch(DESCRIBE, list(PROJECTED))
    }
    if missing := [name for name in PROJECTED if name not in found]:
        raise Failure(f"no table {', '.join(missing)}: run `placewire migrate` first", WRONG_USE)
    return [found[name] for name in PROJECTED]
