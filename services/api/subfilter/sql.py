"""Statements of the sub-filter.

Plan (EXPLAIN, 100,000 students): each statement scans ``students`` once, with ``meets_criteria`` inlined. STUDENTS then
joins users with a hash join.
"""

from dataclasses import dataclass
from decimal import Decimal

import orjson

from chassis.postgres.database import Connection
from contracts.branches import branch_key
from services.api.eligibility.sql import MEETS_DRIVE
from services.api.http.long_lists import Write, copy_array, rows_as_json

PASSES_FILTER = """($2::numeric IS NULL OR s.cgpa >= $2) AND ($3::numeric IS NULL OR s.cgpa <= $3)
   AND ($4::text IS NULL OR s.branch_key = $4)
   AND ($5::integer IS NULL OR s.active_backlogs < $5)"""
# Spelling variants of a branch count as one branch. It is shown in the spelling that most of these students have.
SUMMARY = f"""
WITH counted AS (
    SELECT s.branch_key, s.branch, count(*) AS students, count(*) FILTER (WHERE {PASSES_FILTER}) AS filtered
      FROM drives d JOIN students s ON {MEETS_DRIVE}
     WHERE d.drive_id = $1 GROUP BY s.branch_key, s.branch
), spelled AS (
    SELECT DISTINCT ON (branch_key) branch FROM counted WHERE branch IS NOT NULL
     ORDER BY branch_key, students DESC, branch
)
SELECT coalesce(sum(students), 0)::bigint AS total, coalesce(sum(filtered), 0)::bigint AS filtered_count,
       ARRAY (SELECT branch FROM spelled ORDER BY branch) AS unique_branches
  FROM counted
"""  # noqa: S608
STUDENTS = rows_as_json(
    f"""
SELECT u.user_id, u.name, u.email, u.department, s.roll_number, s.branch, s.cgpa::text, s.active_backlogs
  FROM drives d JOIN students s ON {MEETS_DRIVE} JOIN users u ON u.user_id = s.student_id
 WHERE d.drive_id = $1 AND {PASSES_FILTER}
 ORDER BY s.cgpa DESC NULLS LAST, u.name, u.user_id"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class StudentFilter:
    """Limits that select among eligible students. ``None`` sets no limit. ``backlogs_below`` is exclusive."""

    cgpa_min: Decimal | None = None
    cgpa_max: Decimal | None = None
    branch: str | None = None
    backlogs_below: int | None = None


async def write_filtered(connection: Connection, write: Write, drive_id: int, limits: StudentFilter) -> None:
    """Write the response of the sub-filter, highest CGPA first.

    Both statements must read one snapshot, so ``connection`` must be in a repeatable-read transaction.
    """
    branch = limits.branch and branch_key(limits.branch)
    arguments = (limits.cgpa_min, limits.cgpa_max, branch, limits.backlogs_below)
    summary = await connection.fetchrow(SUMMARY, drive_id, *arguments)
    assert summary is not None
    head = orjson.dumps(dict(summary))[:-1] + b',"students":'
    await copy_array(connection, write, STUDENTS, drive_id, *arguments, head=head)
    await write(b"}")
