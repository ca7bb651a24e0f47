"""Project the log, as one snapshot saw it, into temporary tables, with the functions that appends use.

The search path finds the session's temporary tables first. Other sessions do not see them, they write no WAL, and the
server drops them when the session ends. After their creation, all transactions are read-only. Such transactions may
still write to temporary tables, but a projection that writes to a live table fails. Each chunk is a separate
transaction, because a long transaction delays every reader of the log.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from chassis.postgres.database import Connection
from cli.replay.tables import Table

CHUNK = 5_000
# A stream type comes after those whose rows its projection needs. Unlisted types come last.
STREAM_TYPES = ("student", "user", "drive", "eligibility", "registration", "attendance")

SESSION = """
SET default_transaction_read_only = off; -- it is on in a database whose log is closed
SET search_path = pg_temp, public;
SET temp_buffers = '256MB';
SET work_mem = '64MB';
SET jit = off;
SET plan_cache_mode = force_generic_plan;
SET statement_timeout = 0;
SET transaction_timeout = 0;
"""
MAKE_TABLE = "CREATE TEMPORARY TABLE {name} (LIKE public.{name} INCLUDING ALL)"
# Within a chunk, all enrolments are projected before all revisions. So a roll number that passed from one student to
# another exists twice for a moment. Unique indexes would reject this, although the history is valid.
ALLOW_REUSE = """
DROP INDEX pg_temp.students_identity_key_idx;
DROP INDEX pg_temp.users_identity_key_idx;
"""
# Plans are cached for speed, so they must be renewed when the tables have grown.
REPLAN = "ANALYZE {names}"
READ_ONLY_FROM_NOW_ON = "SET default_transaction_read_only = on"

# Index scan on event_tx_position, which keeps the order of each stream. Selects the events that the snapshot $3 sees,
# because the live tables in that snapshot have the effects of exactly these events. Every event that the earlier
# snapshot $6 did not see has a tx of at least the xmin of $6, so a later run begins there.
PROJECT_CHUNK = """
WITH chunk AS MATERIALIZED (
    SELECT e, e.tx, e.position, split_part(e.stream_id, '-', 1) AS stream_type
      FROM es.event e
     WHERE (e.tx, e.position) > ($1::bigint::text::xid8, $2::bigint)
       AND pg_visible_in_snapshot(e.xid, (SELECT $3::text::pg_snapshot))
       AND NOT pg_visible_in_snapshot(e.xid, (SELECT $6::text::pg_snapshot))
     ORDER BY e.tx, e.position LIMIT $4
), last AS MATERIALIZED (
    SELECT tx::text::bigint AS tx, position FROM chunk ORDER BY tx DESC, position DESC LIMIT 1
), grouped AS MATERIALIZED (
    SELECT stream_type, array_agg(e ORDER BY tx, position) AS events, count(*) AS count
      FROM chunk GROUP BY stream_type
     ORDER BY coalesce(array_position($5::text[], stream_type), 1000), stream_type
)
SELECT count, (SELECT tx FROM last) AS tx, (SELECT position FROM last) AS position, project(stream_type, events)
  FROM grouped
"""


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """A snapshot of the log. ``text``: the result of ``es.log_snapshot()``. ``events``: how many events it sees."""

    text: str
    events: int

    @property
    def xmin(self) -> int:
        return int(self.text.partition(":")[0])


# The snapshot before the first possible transaction, which sees nothing.
BEGINNING = LogSnapshot("3:3:", 0)


async def prepare(connection: Connection, tables: Iterable[Table]) -> None:
    """Create empty temporary tables in the session of ``connection``, and make the session otherwise read-only."""
    await connection.execute(SESSION)
    for table in tables:
        await connection.execute(MAKE_TABLE.format(name=table.name))
    await connection.execute(ALLOW_REUSE)
    await connection.execute(READ_ONLY_FROM_NOW_ON)


async def project(
    connection: Connection,
    tables: Iterable[Table],
    snapshot: LogSnapshot,
    *,
    since: LogSnapshot = BEGINNING,
    chunk: int = CHUNK,
) -> AsyncIterator[int]:
    """Apply every event that ``snapshot`` sees and ``since`` did not, oldest first. Yield the size of each chunk."""
    replan = REPLAN.format(names=", ".join(f"pg_temp.{table.name}" for table in tables))
    tx, position, chunks = since.xmin - 1, 2**63 - 1, 0
    parameters = snapshot.text, chunk, list(STREAM_TYPES), since.text
    while rows := await connection.fetch(PROJECT_CHUNK, tx, position, *parameters):
        tx, position, chunks = rows[0]["tx"], rows[0]["position"], chunks + 1
        if chunks.bit_count() == 1 and since is BEGINNING:  # a power of two: the tables have doubled
            await connection.execute(replan)
        yield sum(row["count"] for row in rows)
