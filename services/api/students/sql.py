"""Statements about single students and lists of students. Imports: ``import_sql``."""

import unicodedata

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
