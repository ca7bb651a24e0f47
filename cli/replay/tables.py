"""List the tables that are projected from events, with their columns, from the database's catalog."""

from dataclasses import dataclass

from chassis.postgres.database import Connection
from cli.failures import WRONG_USE, Failure

# Events hold only checksums of these tables. `ledgers` checks them.
LEDGERS = ("selections", "requested_selection")
# Tables whose data is not in events. Every other table of the schema is compared, including new ones.
WITHOUT_EVENTS = (
    "access_log",
    "alembic_version",
    "credentials",
    "expiry",
    "idempotency_keys",
    "job_domains",
    "notification_read_marks",
    "notification_reads",
    "password_links",
    "schema_object",
    "view_refresh",
    "withdrawn_exports",
)

# Without generated columns, whose values follow from other columns.
DESCRIBE = """
SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum = ANY (i.indkey)) AS key
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND c.relname <> ALL ($1)
 GROUP BY c.relname ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


async def describe(connection: Connection) -> list[Table]:
    """Return the projected tables, ordered by name. Raises ``Failure`` when there are none, or one has no key."""
    rows = await connection.fetch(DESCRIBE, [*LEDGERS, *WITHOUT_EVENTS])
    if not rows:
        raise Failure("the database has no read tables: run `placewire migrate` first", WRONG_USE)
    if keyless := [row["name"] for row in rows if not row["key"]]:
        raise Failure(f"without a primary key a table cannot be compared: {', '.join(keyless)}", WRONG_USE)
    return [Table(row["name"], tuple(row["key"]), tuple(row["columns"])) for row in rows]
