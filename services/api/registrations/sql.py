"""Every statement about registrations.

Plans (EXPLAIN, 100,000 students): REGISTER is three primary-key look-ups (drive, student, selection) and the
inserts, whatever the size of the tables; CHECK is an index-only scan of
``registrations_drive_student_unique``, MINE an index scan of ``registrations_of_student``; LIST reads the drive's
registrations by ``registrations_drive_student_unique`` and hashes the users.
"""

from uuid import UUID

import asyncpg

from chassis.database import Connection
from services.api.long_lists import instant, rows_as_json

REGISTER = "SELECT outcome, registration_id, registered_at FROM register($1, $2, $3, $4)"

CHECK = "SELECT EXISTS (SELECT FROM registrations WHERE drive_id = $1 AND student_id = $2)"

LIST = rows_as_json(
    f"""
SELECT r.registration_id, r.drive_id, r.student_id, {instant("r.registered_at")} AS registered_at, u.name, u.email
  FROM registrations r LEFT JOIN users u ON u.user_id = r.student_id
 WHERE r.drive_id = $1 ORDER BY r.registration_id"""  # noqa: S608
)

MINE = """
SELECT r.registration_id, r.drive_id, r.student_id, r.registered_at, d.company_name, d.job_title, d.job_description,
       d.status, d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.attendance_published
  FROM registrations r JOIN drives d USING (drive_id)
 WHERE r.student_id = $1 ORDER BY r.registered_at DESC, r.registration_id DESC
"""


async def register(
    connection: Connection, drive_id: int, student_id: int, event_id: UUID, metadata: str
) -> asyncpg.Record:
    """``outcome`` says what came of it; the others are null unless that is ``registered``.

    One round trip. In no transaction it is one of its own; in one it holds the drive's gate until that ends.
    """
    row = await connection.fetchrow(REGISTER, drive_id, student_id, event_id, metadata)
    assert row is not None
    return row


async def is_registered(connection: Connection, drive_id: int, student_id: int) -> bool:
    return bool(await connection.fetchval(CHECK, drive_id, student_id))


async def of_student(connection: Connection, student_id: int) -> list[asyncpg.Record]:
    """Newest first, each with its drive."""
    return await connection.fetch(MINE, student_id)
