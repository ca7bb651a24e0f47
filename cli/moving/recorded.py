"""Find the highest transaction id that a database has recorded, in any column or event."""

from chassis.postgres.database import Connection

# Columns are found by type, so that new columns are included. Some snapshots are stored as text, in columns named
# snapshot. Partitions are listed as tables of their own. A snapshot's xmax is the first id that it could not see.
COLUMNS = r"""
SELECT format(CASE WHEN t.typname = 'xid8' THEN 'SELECT max(%1$I)::text::bigint FROM %2$s'
                   ELSE 'SELECT max(pg_snapshot_xmax(%1$I::pg_snapshot))::text::bigint - 1 FROM %2$s'
                        ' WHERE %1$I::text ~ ''^\d+:\d+:''' END,
              a.attname, c.oid::regclass) AS query
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_type t ON t.oid = a.atttypid
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND a.attnum > 0 AND NOT a.attisdropped AND c.oid <> 'es.epoch'::regclass
   AND (t.typname IN ('xid8', 'pg_snapshot') OR (t.typname = 'text' AND a.attname = 'snapshot'))
"""
# Scans the whole table.
IN_EVENTS = """
SELECT max(pg_snapshot_xmax((data ->> 'snapshot')::pg_snapshot))::text::bigint - 1
  FROM es.event WHERE data ? 'snapshot'
"""


async def newest(connection: Connection) -> int:
    """Return the highest recorded transaction id, 0 for an empty log. Reads the whole log."""
    queries = [row["query"] for row in await connection.fetch(COLUMNS)]
    values = [await connection.fetchval(query) for query in (*queries, IN_EVENTS)]
    return max((value for value in values if value is not None), default=0)
