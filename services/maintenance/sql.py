"""Every statement about the materialized views and their refreshes. The views are defined in migrations/functions.

All views are refreshed in one repeatable-read transaction, so that they show the same moment: a dashboard's total is
the sum of its series. A refresh takes 2.5 s, of which branch_counts takes 2.2 s (1,000,000 students and registrations,
500,000 attendance marks, 1,000 drives with 8 incomparable criteria, 2 cores). Meanwhile, readers of the log wait
(``event_store.read_log``: republishing, ``placewire events``). The relay, jobs and notifications do not wait.

The snapshot of a refresh is stored. A refresh completes every request that its snapshot can see, because such a request
was committed before the refresh. Clocks and the order of commits do not matter.
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
# Streams whose events change the views.
SHOWN = ("student", "import", "drive", "eligibility", "registration", "attendance")

# LOCK TABLE takes no snapshot. So a refresh that has waited for another one sees everything that was committed
# meanwhile. The lock does not block readers.
ONE_AT_A_TIME = "LOCK TABLE view_refresh IN SHARE ROW EXCLUSIVE MODE"
# The timeout of the service's role. Without it, the owner would wait without limit for a refresh that hangs. SET does
# not take a snapshot.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '280s'"
# Enough to sort and hash a million students in memory.
MEMORY = "SET LOCAL work_mem = '64MB'"
NOW = "SELECT clock_timestamp()"
# A view without data (after a restore, for example) cannot be refreshed concurrently. Nobody can read such a view.
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
# Whether the last refresh completes the job $1: all $2 views have rows of one run, whose snapshot sees the job's event.
IS_ANSWERED = """
SELECT count(*) = $2 AND bool_and(pg_visible_in_snapshot(e.xid, v.snapshot::pg_snapshot)) AND count(DISTINCT run_id) = 1
  FROM view_refresh v CROSS JOIN (SELECT xid FROM es.event WHERE event_id = $1) e
"""
# Index scan on job_unfinished, and an index scan on event_event_id for each job.
ANSWERED = """
SELECT j.id FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE j.service = $1 AND j.finished_at IS NULL AND j.kind = $2 AND j.id <> $3
   AND pg_visible_in_snapshot(e.xid, (SELECT snapshot::pg_snapshot FROM view_refresh LIMIT 1))
"""
# ``since_s``: the time since the end of the last refresh; infinite when that end is in the future, because the clock
# was ahead. ``under_way``: a worker runs another refresh. Index scan on job_unfinished.
LAST_REFRESH = """
SELECT min(es.age_s(finished_at)) AS since_s, coalesce(sum(duration_s), 0)::float8 AS duration_s,
       (array_agg(run_id ORDER BY refreshed_at))[1] AS run_id,
       (array_agg(snapshot ORDER BY refreshed_at))[1] AS snapshot,
       EXISTS (SELECT FROM es.job
                WHERE service = $1 AND kind = $2 AND finished_at IS NULL AND state = 'running') AS under_way
  FROM view_refresh
"""
# Index scan on event_tx_position, from the oldest transaction that was running in the snapshot $1, to the first change.
# It finds every change, because tx is never below xid. Without ORDER BY, or with EXISTS, Postgres scans the whole log.
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
# These statements read whole views, which have one row for each drive or branch.
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
# Index scan on job_dead_lettered, which has only open dead letters.
DEAD_JOBS = "SELECT service, count(*) AS jobs FROM es.job WHERE dead_lettered GROUP BY service"
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

    ``began_at``: the moment that all views show. ``answers``: other unfinished jobs that this refresh completes.
    """

    id: UUID | None
    began_at: datetime
    views: list[Refreshed]
    answers: Sequence[UUID] = ()


async def refresh_all(database: Database) -> tuple[datetime, list[Refreshed]]:
    """Refresh all views without a job. Return the moment that the views show, and the duration for each view.

    Waits for a running refresh. Readers do not wait. Needs a role with MAINTAIN on the views. Waiting jobs that were
    requested before will find this refresh. Raises ``Contended`` when it waited too long, or when a view was refreshed
    manually in the meantime.
    """
    async with _one_at_a_time(database, LOCK_TIMEOUT) as connection:
        moment = await now(connection)
        return moment, await _refresh_views(connection, moment, uuid7())


async def answer(database: Database, job_id: UUID) -> Run:
    """Return the refresh that completes ``job_id``: the last refresh if it began after the request, else a new refresh.

    Raises ``Contended`` like ``refresh_all``.
    """
    async with _one_at_a_time(database) as connection:
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
    """The last refresh. ``since_s``: seconds since it ended. ``under_way``: a worker runs another refresh.

    A queued refresh does not count, because it is unknown when it will start, and the next refresh completes it too.
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
    """Return whether an event that changes the views was committed after ``snapshot``. Also return the new snapshot.

    Costs an index scan over the events that ``snapshot`` does not see.
    """
    row = await connection.fetchrow(HAS_CHANGED, snapshot, SHOWN)
    assert row is not None
    return bool(row["changed"]), row["seen"]


async def view_ages(connection: Connection) -> list[asyncpg.Record]:
    """Return the age in seconds of each view's data, the duration of its refresh, and its number of rows."""
    return await connection.fetch(VIEW_AGES)


async def unfinished_jobs(connection: Connection) -> list[asyncpg.Record]:
    """Return the number of jobs for each service and state, and for how many seconds the oldest is in this state."""
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
async def _one_at_a_time(database: Database, *before: str) -> AsyncIterator[Connection]:
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
