"""Every statement about the materialized views and their refreshes. Definitions: migrations/functions.

All views are refreshed in one repeatable-read transaction, so that they show one moment: a dashboard's total is the sum
of its series. 1,000,000 students and registrations, 500,000 marks, 1,000 drives (8 incomparable criteria), 2 cores:
2.5 s, of which branch_counts 2.2 s. During that time its transaction id delays gap-safe readers of the log
(``event_store.read_log``: republishing, ``placewire events``). The relay, jobs and notifications do not wait for it.

The snapshot of a refresh is stored. A request that this snapshot can see was committed before the refresh, so the
refresh completes it. Clocks and the order of commits do not matter.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from chassis.postgres.database import Connection, Database
from contracts.jobs import Kind, Service

VIEWS = ("registrations_per_drive", "drives_over_time", "attendance_trend", "branch_counts", "drive_funnel")
# Streams whose events change the views. Those of refreshes are not among them.
SHOWN = ("student", "import", "drive", "eligibility", "registration", "attendance")

# LOCK TABLE takes no snapshot: after waiting for another refresh, this one sees everything committed meanwhile. Readers
# are not blocked.
ONE_AT_A_TIME = "LOCK TABLE view_refresh IN SHARE ROW EXCLUSIVE MODE"
# The same as for the service's role. The owner has no timeout and would wait without limit for a hanging refresh. SET
# takes no snapshot either.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '280s'"
# Sets of a million students are sorted and hashed in memory.
MEMORY = "SET LOCAL work_mem = '64MB'"
NOW = "SELECT clock_timestamp()"
# A view without data (restored, or emptied manually) cannot be refreshed concurrently, and nobody can read it anyway.
IS_POPULATED = "SELECT relispopulated FROM pg_class WHERE oid = to_regclass($1)"
FIRST = "REFRESH MATERIALIZED VIEW {view}"
BESIDE_READERS = "REFRESH MATERIALIZED VIEW CONCURRENTLY {view}"
RECORD = """
INSERT INTO view_refresh AS v (view_name, refreshed_at, began_at, finished_at, duration_s, rows, run_id, snapshot)
SELECT $1, $2, $3, finished_at, extract(epoch FROM finished_at - $3)::double precision, (SELECT count(*) FROM {view}),
       $4, es.log_snapshot()::text
  FROM (SELECT clock_timestamp() AS finished_at) AS ended
ON CONFLICT (view_name) DO UPDATE
   SET refreshed_at = excluded.refreshed_at, began_at = excluded.began_at, finished_at = excluded.finished_at,
       duration_s = excluded.duration_s, rows = excluded.rows, run_id = excluded.run_id, snapshot = excluded.snapshot
RETURNING view_name, duration_s, rows
"""
LAST = """
SELECT v.view_name, v.duration_s, v.rows, v.refreshed_at, v.run_id, j.id AS job_id
  FROM view_refresh v LEFT JOIN es.job j ON j.id = v.run_id ORDER BY v.began_at
"""
# The rows of one refresh share snapshot and run. Also false when this release has a view that was never filled.
IS_ANSWERED = """
SELECT count(*) = $2 AND bool_and(pg_visible_in_snapshot(e.xid, v.snapshot::pg_snapshot)) AND count(DISTINCT run_id) = 1
  FROM view_refresh v CROSS JOIN (SELECT xid FROM es.event WHERE event_id = $1) e
"""
# Index scan on job_unfinished, and one on event_event_id for each.
ANSWERED = """
SELECT j.id FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE j.service = $1 AND j.finished_at IS NULL AND j.kind = $2 AND j.id <> $3
   AND pg_visible_in_snapshot(e.xid, (SELECT snapshot::pg_snapshot FROM view_refresh LIMIT 1))
"""
# The end and duration of the last refresh, and whether a worker has another. ``since_s`` is infinite when it
# ended in the future: the clock was ahead. Index scan on job_unfinished.
LAST_REFRESH = """
SELECT min(es.age_s(finished_at)) AS since_s, coalesce(sum(duration_s), 0)::float8 AS duration_s,
       (array_agg(run_id ORDER BY refreshed_at))[1] AS run_id,
       (array_agg(snapshot ORDER BY refreshed_at))[1] AS snapshot,
       EXISTS (SELECT FROM es.job
                WHERE service = $1 AND kind = $2 AND finished_at IS NULL AND state = 'running') AS under_way
  FROM view_refresh
"""
# Index scan on event_tx_position from the oldest transaction whose end the snapshot $1 did not see; it ends at the
# first change. tx is never below xid. Without the order, or as EXISTS, the planner would rather read the whole log.
HAS_CHANGED = """
SELECT (SELECT true FROM es.event e
         WHERE e.tx >= pg_snapshot_xmin($1::text::pg_snapshot)
           AND NOT pg_visible_in_snapshot(e.xid, $1::text::pg_snapshot)
           AND split_part(e.stream_id, '-', 1) = ANY ($2)
         ORDER BY e.tx, e.position LIMIT 1) AS changed,
       es.log_snapshot()::text AS seen
"""
VIEW_AGES = """
SELECT view_name, es.age_s(refreshed_at) AS staleness_s,
       duration_s, rows
  FROM view_refresh
"""
REFRESHED_AT = "SELECT max(refreshed_at) FROM view_refresh"
# These read whole views, which have a row per drive or per branch.
DRIVES_BY_STATUS = "SELECT status, count(*) AS drives FROM drive_funnel GROUP BY status"
FUNNEL = """
SELECT coalesce(sum(eligible), 0)::float8 AS eligible, coalesce(sum(selected), 0)::float8 AS selected,
       coalesce(sum(registered), 0)::float8 AS registered, coalesce(sum(present), 0)::float8 AS present
  FROM drive_funnel
"""
NEWEST_DRIVES = """
SELECT drive_id, company_name, job_title, eligible, selected, registered, present
  FROM drive_funnel WHERE status IN ('posted', 'attending') ORDER BY created_at DESC, drive_id DESC LIMIT $1
"""
LARGEST_BRANCHES = """
SELECT branch, students, eligible, registered, present FROM branch_counts ORDER BY students DESC, branch LIMIT $1
"""
# Index scan on job_dead, which has only open dead letters.
DEAD_JOBS = "SELECT service, count(*) AS jobs FROM es.job WHERE dead GROUP BY service"
# Index scan on job_unfinished, which has only unfinished jobs.
UNFINISHED_JOBS = """
SELECT service, state, count(*) AS jobs,
       max(es.age_s(
           CASE state WHEN 'queued' THEN queued_at ELSE started_at END
       )) AS oldest_s
  FROM es.job WHERE finished_at IS NULL GROUP BY service, state
"""


@dataclass(frozen=True, slots=True)
class Refreshed:
    view: str
    duration_s: float
    rows: int


@dataclass(frozen=True, slots=True)
class Run:
    """A committed refresh. ``id``: the job that requested it; ``None`` for a manual refresh.
    ``began_at``: the moment that all views show. ``answers``: other unfinished jobs that were requested before it
    began."""

    id: UUID | None
    began_at: datetime
    views: list[Refreshed]
    answers: Sequence[UUID] = ()


async def refresh_all(database: Database) -> tuple[datetime, list[Refreshed]]:
    """Refresh all views without a job. Return the moment that they show, and the duration of each.

    Waits for a running refresh; readers do not wait. Needs a role with MAINTAIN on the views. Completes waiting jobs.
    Raises ``Contended`` when it waited too long, or when a view was refreshed manually in the meantime.
    """
    async with _alone(database, LOCK_TIMEOUT) as connection:
        moment = await now(connection)
        return moment, await _refresh_views(connection, moment, uuid7())


async def answer(database: Database, job_id: UUID) -> Run:
    """Return the refresh that completes ``job_id``: the last one if it began after the request, else a new one.

    Raises as ``refresh_all``.
    """
    async with _alone(database) as connection:
        moment = await now(connection)
        if not await connection.fetchval(IS_ANSWERED, job_id, len(VIEWS)):
            await _refresh_views(connection, moment, job_id)
        rows = await connection.fetch(LAST)
        views = [Refreshed(row["view_name"], row["duration_s"], row["rows"]) for row in rows]
        run_id = rows[0]["run_id"]
        waiting = await connection.fetch(ANSWERED, Service.MAINTENANCE, Kind.REFRESH, run_id)
        answers = [row["id"] for row in waiting if row["id"] != job_id]
        return Run(rows[0]["job_id"], rows[0]["refreshed_at"], views, answers)


@dataclass(frozen=True, slots=True)
class LastRefresh:
    """The last refresh. ``since_s``: seconds since it ended. ``under_way``: a worker runs another.

    A queued refresh does not count: nobody knows when it starts, and the next refresh covers it too.
    """

    since_s: float
    duration_s: float
    run_id: UUID | None
    snapshot: str
    under_way: bool


async def last_refresh(connection: Connection) -> LastRefresh:
    """Return the state of the last refresh."""
    row = await connection.fetchrow(LAST_REFRESH, Service.MAINTENANCE, Kind.REFRESH)
    assert row is not None
    return LastRefresh(**dict(row))


async def changed_since(connection: Connection, snapshot: str) -> tuple[bool, str]:
    """Return whether events that the views show were committed after ``snapshot``, and the current snapshot.

    Costs an index scan over the events that ``snapshot`` does not see.
    """
    row = await connection.fetchrow(HAS_CHANGED, snapshot, SHOWN)
    assert row is not None
    return bool(row["changed"]), row["seen"]


async def view_ages(connection: Connection) -> list[asyncpg.Record]:
    """Return, for each view, the seconds since the moment that it shows, the seconds of its refresh, and its rows."""
    return await connection.fetch(VIEW_AGES)


async def unfinished_jobs(connection: Connection) -> list[asyncpg.Record]:
    """Return, by service and state, the number of jobs and the seconds that the oldest has been in that state."""
    return await connection.fetch(UNFINISHED_JOBS)


async def dead_jobs(connection: Connection) -> dict[str, int]:
    """Return the number of open dead letters of each service."""
    return {row["service"]: row["jobs"] for row in await connection.fetch(DEAD_JOBS)}


async def refreshed_at(connection: Connection) -> datetime | None:
    """Return the moment that the views show."""
    moment: datetime | None = await connection.fetchval(REFRESHED_AT)
    return moment


async def drives_by_status(connection: Connection) -> dict[str, int]:
    return {row["status"]: row["drives"] for row in await connection.fetch(DRIVES_BY_STATUS)}


async def funnel(connection: Connection) -> asyncpg.Record:
    """Return the number of students at each stage, summed over all drives."""
    row = await connection.fetchrow(FUNNEL)
    assert row is not None
    return row


async def newest_drives(connection: Connection, limit: int) -> list[asyncpg.Record]:
    """Return the funnel of each drive that is published and not finished, newest first."""
    return await connection.fetch(NEWEST_DRIVES, limit)


async def largest_branches(connection: Connection, limit: int) -> list[asyncpg.Record]:
    """Return, by branch, the number of students at each stage."""
    return await connection.fetch(LARGEST_BRANCHES, limit)


async def now(connection: Connection) -> datetime:
    """Return the time of the database's clock, which is the same for all replicas."""
    moment: datetime = await connection.fetchval(NOW)
    return moment


@asynccontextmanager
async def _alone(database: Database, *before: str) -> AsyncIterator[Connection]:
    async with database.transaction(isolation="repeatable_read") as connection:
        for statement in (*before, ONE_AT_A_TIME, MEMORY):
            await connection.execute(statement)
        yield connection


async def _refresh_views(connection: Connection, moment: datetime, run_id: UUID) -> list[Refreshed]:
    return [await _refresh(connection, view, moment, run_id) for view in VIEWS]


async def _refresh(connection: Connection, view: str, moment: datetime, run_id: UUID) -> Refreshed:
    began_at = await now(connection)
    populated = await connection.fetchval(IS_POPULATED, view)
    await connection.execute((BESIDE_READERS if populated else FIRST).format(view=view))
    row = await connection.fetchrow(RECORD.format(view=view), view, moment, began_at, run_id)
    assert row is not None
    return Refreshed(row["view_name"], row["duration_s"], row["rows"])
