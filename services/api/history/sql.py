"""Statements for time travel. They read the log and write nothing.

``$2`` is a moment: later events do not count. Plans (EXPLAIN ANALYZE, 100,000 students, 2 busy cores): all use
``event_stream_version``, and no other index is needed. ELIGIBLE scans ``students_pkey`` and looks up the last event of
each student (14 us). A page takes 0.3 s at most, because it reads at most 20,000 students. All 100,000 students take
1.3 s. An index by type and time would not help: it does not find the last event of each stream. DECISION takes 0.1 ms.
"""

from datetime import datetime

import asyncpg

from chassis.postgres.database import Connection
from contracts.branches import branch_keys
from contracts.drives import Criteria, DriveRevised, ReevaluationRequested
from contracts.eligibility import EligibilityEvaluated
from contracts.users import AccountDeactivated, AccountReactivated

LOOKED_AT = 20_000

NOW = "SELECT clock_timestamp()"

# Reevaluations are left out: they can be many and do not change the drive.
DRIVE = f"""
SELECT version, type, data, recorded_at <= $2 AS before_cutoff FROM es.event
 WHERE stream_id = 'drive-' || $1::integer AND type <> '{ReevaluationRequested.TYPE}' ORDER BY version
"""  # noqa: S608

# The versions of drive $1 that had been evaluated by $2. Rows of ``selections`` refer to these versions.
EVALUATED_VERSIONS = f"""
ARRAY (SELECT (data ->> 'drive_version')::bigint FROM es.event
        WHERE stream_id = 'eligibility-' || $1::integer AND type = '{EligibilityEvaluated.TYPE}' AND recorded_at <= $2)
"""  # noqa: S608
WAS_SELECTED = """
EXISTS (SELECT FROM selections c
         WHERE c.drive_id = $1 AND c.student_id = {student} AND c.selected_version = ANY (evaluated.versions)
           AND (c.revoked_version IS NULL OR c.revoked_version <> ALL (evaluated.versions)))
"""

# Whether the account was active: its last deactivation or reactivation decides. Index scan on event_stream_version.
WAS_ACTIVE = f"""coalesce((
           SELECT e.type = '{AccountReactivated.TYPE}' FROM es.event e
            WHERE e.stream_id = 'user-' || {{student}} AND {{up_to}}
              AND e.type IN ('{AccountDeactivated.TYPE}', '{AccountReactivated.TYPE}')
            ORDER BY e.version DESC LIMIT 1), true)"""  # noqa: S608

# With OFFSET 0, each branch key is computed once. Without it, meets_criteria would not be inlined.
# Reads the next $11 students. `looked_at`: the last student read, or null if no more students follow.
ELIGIBLE = f"""
WITH evaluated AS MATERIALIZED (SELECT {EVALUATED_VERSIONS} AS versions), next AS MATERIALIZED (
    SELECT student_id FROM students WHERE student_id > $9 ORDER BY student_id LIMIT $11
), page AS MATERIALIZED (
    SELECT s.student_id, r.*
      FROM next s
     CROSS JOIN LATERAL (
           SELECT e.data -> 'record' AS record FROM es.event e
            WHERE e.stream_id = 'student-' || s.student_id AND e.recorded_at <= $2
            ORDER BY e.version DESC LIMIT 1) e
     CROSS JOIN LATERAL jsonb_to_record(e.record) AS r(branch text, batch_year integer, tenth_percent numeric,
           twelfth_percent numeric, diploma_percent numeric, cgpa numeric,
           active_backlogs integer)
     CROSS JOIN LATERAL (SELECT branch_key(r.branch) AS branch_key OFFSET 0) k
     WHERE {WAS_ACTIVE.format(student="s.student_id", up_to="e.recorded_at <= $2")}
       AND meets_criteria(ROW(r.cgpa, r.tenth_percent, r.twelfth_percent, r.diploma_percent, r.active_backlogs,
                              k.branch_key, r.batch_year)::marks, ROW($3, $4, $5, $6, $7, $8)::criteria)
     ORDER BY s.student_id LIMIT $10
)
SELECT looked.at AS looked_at, p.*, u.name, u.email,
       (SELECT n.roll_number FROM vault.roll_number_at(p.student_id, $2) n) AS roll_number,
       {WAS_SELECTED.format(student="p.student_id")} AS selected
  FROM (SELECT CASE WHEN count(*) = $11 THEN max(student_id) END AS at FROM next) looked
  LEFT JOIN page p ON true
  LEFT JOIN LATERAL (SELECT name, email FROM users WHERE user_id = p.student_id LIMIT 1) u ON true
 CROSS JOIN evaluated
 ORDER BY p.student_id
"""  # noqa: S608

# The newest record up to that moment, and whether the student has any record.
RECORD = f"""
SELECT (SELECT EXISTS (SELECT FROM es.event WHERE stream_id = 'student-' || $1::integer)) AS known, r.*,
       {WAS_ACTIVE.format(student="$1::integer", up_to="e.recorded_at <= $2")} AS active
  FROM (SELECT) AS one
  LEFT JOIN LATERAL (
       SELECT version, data -> 'record' AS record FROM es.event
        WHERE stream_id = 'student-' || $1::integer AND recorded_at <= $2 ORDER BY version DESC LIMIT 1) r ON true
"""  # noqa: S608
IN_SNAPSHOT = "pg_visible_in_snapshot(e.xid, $2::text::pg_snapshot)"
RECORD_SEEN = f"""
SELECT version, data -> 'record' AS record,
       {WAS_ACTIVE.format(student="$1::integer", up_to=IN_SNAPSHOT)} AS active
  FROM es.event
 WHERE stream_id = 'student-' || $1::integer AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
 ORDER BY version DESC LIMIT 1
"""  # noqa: S608

# The last evaluation by $2 that covered student $3, with the event whose criteria it applied.
DECISION = f"""
WITH evaluated AS MATERIALIZED (SELECT {EVALUATED_VERSIONS} AS versions)
SELECT e.data, e.recorded_at, request.type, request.version, request.data AS request,
       {WAS_SELECTED.format(student="$3")} AS selected,
       EXISTS (SELECT FROM requested_selection r WHERE r.drive_id = $1 AND r.student_id = $3 AND r.drive_version =
               CASE WHEN request.data ? 'requested_version' THEN (request.data ->> 'requested_version')::bigint
                    ELSE request.version END) AS on_list
  FROM evaluated CROSS JOIN es.event e
  JOIN es.event request ON request.stream_id = 'drive-' || $1::integer
   AND request.version = coalesce(e.data ->> 'judged_by', e.data ->> 'drive_version')::bigint
 WHERE e.stream_id = 'eligibility-' || $1::integer AND e.type = '{EligibilityEvaluated.TYPE}' AND e.recorded_at <= $2
   AND (e.data ->> 'applied')::boolean
   AND (coalesce(e.data -> 'students', 'null') = 'null'
        OR $3::integer BETWEEN (e.data #>> '{{students,first}}')::integer AND (e.data #>> '{{students,last}}')::integer)
 ORDER BY e.version DESC LIMIT 1
"""  # noqa: S608

NEWEST_EVALUATION = f"""
SELECT data, recorded_at FROM es.event
 WHERE stream_id = 'eligibility-' || $1::integer AND type = '{EligibilityEvaluated.TYPE}' AND recorded_at <= $2
 ORDER BY version DESC LIMIT 1
"""  # noqa: S608

# Merges two streams, sorted by position, before position $2.
HISTORY = f"""
SELECT e.position, e.version, e.type, e.data, e.metadata, e.recorded_at, u.name, u.role, before.posting
  FROM es.event e
  LEFT JOIN users u ON u.user_id = (e.metadata ->> 'actor_id')::integer
  LEFT JOIN LATERAL (
       SELECT p.data -> 'posting' AS posting FROM es.event p
        WHERE p.stream_id = e.stream_id AND p.version < e.version AND p.data ? 'posting'
        ORDER BY p.version DESC LIMIT 1) before ON e.type = '{DriveRevised.TYPE}'
 WHERE e.stream_id IN ('drive-' || $1::integer, 'eligibility-' || $1::integer) AND e.position < $2
 ORDER BY e.position DESC LIMIT $3
"""  # noqa: S608


async def now(connection: Connection) -> datetime:
    """Return the time by the database's clock, which also dates events."""
    moment: datetime = await connection.fetchval(NOW)
    return moment


async def drive_events(connection: Connection, drive_id: int, at: datetime) -> list[asyncpg.Record]:
    """Return the drive's events, oldest first. ``before_cutoff``: not after ``at``. Empty for an unknown drive."""
    return await connection.fetch(DRIVE, drive_id, at)


async def eligible(
    connection: Connection, drive_id: int, at: datetime, criteria: Criteria, *, after: int, limit: int
) -> tuple[list[asyncpg.Record], int | None]:
    """Return students after the id ``after`` who met ``criteria`` by their marks at ``at``, and the next ``after``.

    Reads at most ``LOOKED_AT`` students. So a page may have fewer than ``limit`` students although more pages follow.
    The next ``after`` is ``None`` on the last page.
    """
    limits = {name: getattr(criteria, name) for name in Criteria.model_fields} | {
        "branches": branch_keys(criteria.branches)
    }
    rows = await connection.fetch(ELIGIBLE, drive_id, at, *limits.values(), after, limit, LOOKED_AT)
    students = [row for row in rows if row["student_id"] is not None]
    if len(students) == limit:
        return students, students[-1]["student_id"]
    return students, rows[0]["looked_at"]


async def record(connection: Connection, student_id: int, at: datetime) -> asyncpg.Record:
    """Return the student's record at ``at``. ``record`` is null without one; ``known``: the student exists today."""
    row = await connection.fetchrow(RECORD, student_id, at)
    assert row is not None
    return row


async def record_seen(connection: Connection, student_id: int, snapshot: str) -> asyncpg.Record | None:
    """Return the student's newest record that is visible in ``snapshot``. ``None``: there is none."""
    return await connection.fetchrow(RECORD_SEEN, student_id, snapshot)


async def decision(connection: Connection, drive_id: int, at: datetime, student_id: int) -> asyncpg.Record | None:
    """Return the last evaluation by ``at`` that covered this student, and the event whose criteria it applied."""
    return await connection.fetchrow(DECISION, drive_id, at, student_id)


async def newest_evaluation(connection: Connection, drive_id: int, at: datetime) -> asyncpg.Record | None:
    return await connection.fetchrow(NEWEST_EVALUATION, drive_id, at)


async def history(connection: Connection, drive_id: int, *, before: int, limit: int) -> list[asyncpg.Record]:
    """Return changes at positions below ``before``, newest first."""
    return await connection.fetch(HISTORY, drive_id, before, limit)
