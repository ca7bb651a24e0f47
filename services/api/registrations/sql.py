"""Statements about registrations.

Plans (EXPLAIN, 100,000 students): REGISTER does three look-ups by primary key (drive, student, selection) and the
inserts, at any size of the tables. CHECK and COUNT are index-only scans of ``registrations_drive_student_unique``. MINE
is an index scan of ``registrations_of_student``. LIST reads the drive's registrations by
``registrations_drive_student_unique``, and joins users with a hash join.
"""

from uuid import UUID

import asyncpg

from chassis.postgres.database import Connection
from contracts.drives import AttendancePublished, DriveDeleted, RegistrationsStopped
from services.api.http.long_lists import instant, rows_as_json

REGISTER = "SELECT outcome, registration_id, registered_at FROM register($1, $2, $3, $4)"

CHECK = "SELECT EXISTS (SELECT FROM registrations WHERE drive_id = $1 AND student_id = $2)"

COUNT = "SELECT count(*) FROM registrations WHERE drive_id = $1"

LIST = rows_as_json(
    f"""
SELECT r.registration_id, r.drive_id, r.student_id, {instant("r.registered_at")} AS registered_at, u.name, u.email
  FROM registrations r LEFT JOIN users u ON u.user_id = r.student_id
 WHERE r.drive_id = $1 ORDER BY r.registration_id"""  # noqa: S608
)

MINE = """
SELECT r.registration_id, r.drive_id, r.student_id, r.registered_at, d.company_name, d.job_title, d.job_description,
       d.status, d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.attendance_published,
       NULL::timestamptz AS deleted_at
  FROM registrations r JOIN drives d USING (drive_id)
 WHERE r.student_id = $1 ORDER BY r.registered_at DESC, r.registration_id DESC
"""


# Finds deleted drives by the index event_drive_deleted, with one probe of event_stream_version for each drive.
MINE_DELETED = f"""
SELECT (r.data ->> 'registration_id')::integer AS registration_id, (d.data ->> 'drive_id')::integer AS drive_id,
       $1::integer AS student_id, r.recorded_at AS registered_at, p.posting ->> 'company_name' AS company_name,
       p.posting ->> 'job_title' AS job_title, p.posting ->> 'job_description' AS job_description,
       CASE WHEN p.finished THEN 'finished' WHEN p.stopped THEN 'attending' ELSE 'posted' END AS status,
       c.min_cgpa, c.min_10th, c.min_12th, c.max_backlogs, p.finished AS attendance_published,
       d.recorded_at AS deleted_at
  FROM es.event d
  JOIN es.event r ON r.stream_id = format('registration-%s-%s', d.data ->> 'drive_id', $1::integer) AND r.version = 1
 CROSS JOIN LATERAL (
       SELECT (array_agg(e.data -> 'posting' ORDER BY e.version DESC) FILTER (WHERE e.data ? 'posting'))[1] AS posting,
              count(*) FILTER (WHERE e.type = '{AttendancePublished.TYPE}') > 0 AS finished,
              count(*) FILTER (WHERE e.type = '{RegistrationsStopped.TYPE}') > 0 AS stopped
         FROM es.event e WHERE e.stream_id = d.stream_id) p
 CROSS JOIN LATERAL jsonb_to_record(p.posting -> 'criteria') AS c(min_cgpa numeric, min_10th numeric, min_12th numeric,
       max_backlogs integer)
 WHERE d.type = '{DriveDeleted.TYPE}'
 ORDER BY r.recorded_at DESC, registration_id DESC
"""  # noqa: S608


async def register(
    connection: Connection, drive_id: int, student_id: int, event_id: UUID, metadata: str
) -> asyncpg.Record:
    """Register a student in one round trip. Return ``outcome``, ``registration_id`` and ``registered_at``.

    ``outcome`` is a code of migrations/functions/register.sql. Unless it is ``REGISTERED``, the other columns are null.
    The statement holds the drive's registrations lock until its transaction ends.
    """
    row = await connection.fetchrow(REGISTER, drive_id, student_id, event_id, metadata)
    assert row is not None
    return row


async def is_registered(connection: Connection, drive_id: int, student_id: int) -> bool:
    return bool(await connection.fetchval(CHECK, drive_id, student_id))


async def count(connection: Connection, drive_id: int) -> int:
    """Return how many students are registered for the drive."""
    return int(await connection.fetchval(COUNT, drive_id))


async def of_student(connection: Connection, student_id: int) -> list[asyncpg.Record]:
    """Return the student's registrations, newest first, each with its drive."""
    return await connection.fetch(MINE, student_id)


async def of_student_deleted(connection: Connection, student_id: int) -> list[asyncpg.Record]:
    """Return the student's registrations for deleted drives, from the log, newest first."""
    return await connection.fetch(MINE_DELETED, student_id)
