"""Statements about single students and lists of students. Imports: ``import_sql``."""

import unicodedata
from datetime import timedelta

import asyncpg

from chassis.postgres.database import Connection
from contracts.branches import branch_key
from services.api.users.sql import literally

COLUMNS = """s.student_id, u.name, u.email, u.department, s.roll_number, s.branch, s.batch_year, s.tenth_percent,
       s.twelfth_percent, s.diploma_percent, s.cgpa, s.active_backlogs, s.active"""

# Reads students by primary key, after $1, until $2 match. A search with few matches reads to the end.
LIST = f"""
SELECT {COLUMNS} FROM students s JOIN users u ON u.user_id = s.student_id
 WHERE s.student_id > $1
   AND ($3::text IS NULL OR s.branch_key = $3)
   AND ($4::text IS NULL OR u.name ILIKE $4 OR u.email ILIKE $4 OR s.roll_number ILIKE $4)
 ORDER BY s.student_id LIMIT $2
"""  # noqa: S608
GET = f"SELECT {COLUMNS} FROM students s JOIN users u ON u.user_id = s.student_id WHERE s.student_id = $1"  # noqa: S608

EXISTS = "SELECT EXISTS (SELECT FROM students WHERE student_id = $1)"
# Index scan on registrations_of_student, with one probe of drives and of attendance for each row.
REGISTRATIONS = """
SELECT r.registration_id, r.drive_id, d.company_name, d.job_title, d.status, r.registered_at, a.status AS attendance
  FROM registrations r JOIN drives d USING (drive_id) LEFT JOIN attendance a USING (drive_id, student_id)
 WHERE r.student_id = $1 ORDER BY r.registration_id DESC
"""
# Index scan on the student's entries in each partition.
ACCESSES = """
SELECT l.at, l.operation, l.reader_id, l.reader_role, u.name AS reader_name, l.correlation_id
  FROM access_log l LEFT JOIN users u ON u.user_id = l.reader_id
 WHERE l.student_id = $1 AND l.at > clock_timestamp() - $2::interval ORDER BY l.at DESC LIMIT $3
"""


async def list_page(
    connection: Connection, *, after: int, limit: int, branch: str | None, search: str | None
) -> list[asyncpg.Record]:
    """Return students by id. ``search``: text in the name, e-mail address or roll number.

    ``search`` and ``branch`` match regardless of case, Unicode form and surrounding spaces.
    """
    pattern = None if search is None else f"%{literally(unicodedata.normalize('NFC', search.strip()))}%"
    key = None if branch is None else branch_key(branch)
    return await connection.fetch(LIST, after, limit, key, pattern)


async def get(connection: Connection, student_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(GET, student_id)


async def exists(connection: Connection, student_id: int) -> bool:
    return bool(await connection.fetchval(EXISTS, student_id))


async def registrations(connection: Connection, student_id: int) -> list[asyncpg.Record]:
    """Return the student's registrations, newest first, each with its drive and attendance."""
    return await connection.fetch(REGISTRATIONS, student_id)


async def accesses(connection: Connection, student_id: int, kept: timedelta, *, limit: int) -> list[asyncpg.Record]:
    """Return who was shown the student's record, newest first. ``kept``: the retention time of the access log."""
    return await connection.fetch(ACCESSES, student_id, kept, limit)
