"""Every statement about the materialized views. Their definitions: migrations/sql/0004_analytics.sql.

All views are refreshed in one repeatable-read transaction, so that they show one moment: a dashboard's total is the sum
of its series. 1,000,000 students and registrations, 500,000 marks, 1,000 drives (8 incomparable criteria), 2 cores:
2.5 s, of which branch_counts 2.2 s.
"""

from dataclasses import dataclass
from datetime import datetime

from chassis.database import Connection, Database

VIEWS = ("registrations_per_drive", "drives_over_time", "attendance_trend", "branch_counts", "drive_funnel")

# LOCK TABLE takes no snapshot: who waited here for another refresh sees what was committed meanwhile. Readers pass.
ONE_AT_A_TIME = "LOCK TABLE view_refresh IN SHARE ROW EXCLUSIVE MODE"
# Sets of a million students are sorted and hashed in memory.
MEMORY = "SET LOCAL work_mem = '64MB'"
NOW = "SELECT clock_timestamp()"
# A view without data (restored, or emptied by hand) cannot be refreshed beside readers; it has none that could read it.
IS_POPULATED = "SELECT relispopulated FROM pg_class WHERE oid = to_regclass($1)"
FIRST = "REFRESH MATERIALIZED VIEW {view}"
BESIDE_READERS = "REFRESH MATERIALIZED VIEW CONCURRENTLY {view}"
RECORD = """
INSERT INTO view_refresh AS v (view_name, refreshed_at, began_at, finished_at, duration_s, rows)
SELECT $1, $2, $3, finished_at, extract(epoch FROM finished_at - $3)::double precision, (SELECT count(*) FROM {view})
  FROM (SELECT clock_timestamp() AS finished_at) AS ended
ON CONFLICT (view_name) DO UPDATE
   SET refreshed_at = excluded.refreshed_at, began_at = excluded.began_at, finished_at = excluded.finished_at,
       duration_s = excluded.duration_s, rows = excluded.rows
RETURNING view_name, duration_s, rows
"""


@dataclass(frozen=True, slots=True)
class Refreshed:
    view: str
    duration_s: float
    rows: int


async def refresh_all(database: Database) -> tuple[datetime, list[Refreshed]]:
    """The moment that all views show now, and what each took.

    Waits for a refresh that is running; readers wait for neither. Any role with MAINTAIN on the views will do.
    Raises ``Contended`` when it waited too long, or when somebody refreshed a view by hand meanwhile.
    """
    async with database.transaction(isolation="repeatable_read") as connection:
        await connection.execute(ONE_AT_A_TIME)
        await connection.execute(MEMORY)
        moment: datetime = await connection.fetchval(NOW)
        return moment, [await _refresh(connection, view, moment) for view in VIEWS]


async def _refresh(connection: Connection, view: str, moment: datetime) -> Refreshed:
    began_at = await connection.fetchval(NOW)
    populated = await connection.fetchval(IS_POPULATED, view)
    await connection.execute((BESIDE_READERS if populated else FIRST).format(view=view))
    row = await connection.fetchrow(RECORD.format(view=view), view, moment, began_at)
    assert row is not None
    return Refreshed(row["view_name"], row["duration_s"], row["rows"])
