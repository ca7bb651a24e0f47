"""Statements about attendance.

Plans (EXPLAIN): SHEET does look-ups by primary key or unique key only. TOTALS counts registrations with an index-only
scan of ``registrations_drive_student_unique``. TOTALS and LIST read marks by ``attendance_drive_student_unique``.
"""

from dataclasses import dataclass

import asyncpg

from chassis.postgres.database import Connection
from contracts.attendance import Presence
from services.api.attendance.decider import Sheet
from services.api.drives.decider import Status
from services.api.http.long_lists import rows_as_json

# Serializes concurrent marks of one student.
LOCK_SHEET = "SELECT lock_exclusive('attendance', $1, $2)"

SHEET = """
SELECT d.status AS drive, s.student_id IS NOT NULL AS known, r.registration_id IS NOT NULL AS registered,
       a.attendance_id, a.status AS mark
  FROM drives d
  LEFT JOIN students s ON s.student_id = $2
  LEFT JOIN registrations r ON r.drive_id = d.drive_id AND r.student_id = $2
  LEFT JOIN attendance a ON a.drive_id = d.drive_id AND a.student_id = $2
 WHERE d.drive_id = $1
"""
NEXT_ID = "SELECT nextval('attendance_id_seq')::integer"

TOTALS = """
SELECT (SELECT count(*) FROM registrations WHERE drive_id = $1) AS registered,
       count(*) FILTER (WHERE status = 'PRESENT') AS present, count(*) FILTER (WHERE status = 'ABSENT') AS absent
  FROM attendance WHERE drive_id = $1
"""
LIST = """
SELECT a.attendance_id, a.drive_id, a.student_id, a.status, u.name
  FROM attendance a LEFT JOIN users u ON u.user_id = a.student_id
 WHERE a.drive_id = $1 ORDER BY a.attendance_id
"""
LIST_JSON = rows_as_json(LIST)


@dataclass(frozen=True, slots=True)
class Totals:
    registered: int
    present: int
    absent: int


async def lock_sheet(connection: Connection, drive_id: int, student_id: int) -> None:
    """Wait for other transactions that mark this student in this drive. Block new ones until this transaction ends."""
    await connection.execute(LOCK_SHEET, drive_id, student_id)


async def sheet(connection: Connection, drive_id: int, student_id: int) -> Sheet:
    row = await connection.fetchrow(SHEET, drive_id, student_id)
    if row is None:
        return Sheet()
    return Sheet(
        Status(row["drive"]),
        row["known"],
        row["registered"],
        row["attendance_id"],
        Presence(row["mark"]) if row["mark"] else None,
    )


async def next_id(connection: Connection) -> int:
    return int(await connection.fetchval(NEXT_ID))


async def totals(connection: Connection, drive_id: int) -> Totals:
    row = await connection.fetchrow(TOTALS, drive_id)
    assert row is not None
    return Totals(row["registered"], row["present"], row["absent"])


async def marked(connection: Connection, drive_id: int) -> list[asyncpg.Record]:
    """Return the students who were marked, in the order of their first mark; empty for an unknown drive."""
    return await connection.fetch(LIST, drive_id)
