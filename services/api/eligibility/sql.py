"""Statements that evaluate eligibility for a response. They write nothing."""

import asyncpg

from chassis.postgres.database import Connection
from contracts.branches import branch_keys
from contracts.drives import Criteria
from services.api.http.long_lists import Write, copy_array, instant, rows_as_json

MEETS_DRIVE = "(s.active AND meets_criteria(marks_of(s), criteria_of(d)))"

# One scan of students for one drive, joined to users by primary key. `id` is the student's id, because list rows are
# not stored and have no own id.
LIST = rows_as_json(
    f"""
SELECT s.student_id AS id, d.drive_id, s.student_id, true AS is_eligible, NULL::integer AS filtered_by,
       {instant("e.evaluated_at")} AS filtered_at, u.name, u.email, s.cgpa::text, s.roll_number, s.branch,
       s.active_backlogs, s.tenth_percent::text, s.twelfth_percent::text,
       s.diploma_percent::text
  FROM drives d JOIN students s ON {MEETS_DRIVE} JOIN users u ON u.user_id = s.student_id
       LEFT JOIN evaluations e ON e.drive_id = d.drive_id
 WHERE d.drive_id = $1 ORDER BY s.student_id"""  # noqa: S608
)

# Look-ups by primary key only, so the size of the tables does not matter.
CHECK = """
SELECT d.status, d.auto_published, d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branches, d.batch_years,
       s.student_id, s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs, s.branch,
       s.batch_year, s.active,
       EXISTS (SELECT FROM selections c
                WHERE c.drive_id = d.drive_id AND c.student_id = $2 AND c.revoked_version IS NULL) AS selected
  FROM drives d LEFT JOIN students s ON s.student_id = $2
 WHERE d.drive_id = $1
"""

FILTER = """
SELECT ',' || s.student_id FROM students s
 WHERE s.active
   AND meets_criteria(marks_of(s), ROW($2, $3, $4, $5, NULL, NULL)::criteria)
   AND EXISTS (SELECT FROM drives WHERE drive_id = $1)
 ORDER BY s.student_id
"""

# One scan of students. A million students take about 0.3 s.
COUNT = """
SELECT count(*) FILTER (WHERE meets_criteria(marks_of(s), ROW($1, $2, $3, $4, $5, $6)::criteria)) AS eligible,
       count(*) AS students
  FROM students s WHERE s.active
"""

MINE = f"""
SELECT d.drive_id, d.company_name, d.job_title
  FROM drives d JOIN students s ON s.student_id = $1
 WHERE d.status = 'posted' AND {MEETS_DRIVE}
   AND (d.auto_published OR EXISTS (
        SELECT FROM selections c
         WHERE c.drive_id = d.drive_id AND c.student_id = $1 AND c.revoked_version IS NULL))
 ORDER BY d.created_at DESC, d.drive_id DESC
"""  # noqa: S608


async def check(connection: Connection, drive_id: int, student_id: int) -> asyncpg.Record | None:
    """Return the row of ``CHECK``; ``None`` for an unknown drive. ``student_id`` is null for an unknown student."""
    return await connection.fetchrow(CHECK, drive_id, student_id)


async def write_matching(connection: Connection, write: Write, drive_id: int, criteria: Criteria) -> None:
    """Write the filter's response: the students who meet ``criteria``, and their number."""
    limits = (criteria.min_cgpa, criteria.min_10th, criteria.min_12th, criteria.max_backlogs)
    count = await copy_array(connection, write, FILTER, drive_id, *limits, head=b'{"studentIds":')
    await write(b',"filtered_count":%d}' % count)


async def count(connection: Connection, criteria: Criteria) -> dict[str, int]:
    """Return how many active students meet ``criteria`` (``eligible``), and how many there are (``students``)."""
    row = await connection.fetchrow(
        COUNT,
        criteria.min_cgpa,
        criteria.min_10th,
        criteria.min_12th,
        criteria.max_backlogs,
        branch_keys(criteria.branches),
        criteria.batch_years,
    )
    assert row is not None
    return dict(row)


async def open_to(connection: Connection, student_id: int) -> list[asyncpg.Record]:
    """Return the posted drives that this student may register for, newest first."""
    return await connection.fetch(MINE, student_id)
