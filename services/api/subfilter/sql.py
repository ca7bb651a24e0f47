"""The statements of the sub-filter.

Plan (EXPLAIN, 100,000 students): each is one sequential scan of ``students`` with ``meets_criteria`` inlined; users are
hashed for those who are left.
"""

from dataclasses import dataclass
from decimal import Decimal

import asyncpg

from chassis.database import Connection
from services.api.eligibility.sql import MEETS_DRIVE

SUMMARY = f"""
SELECT count(*) AS total, array_agg(DISTINCT s.branch ORDER BY s.branch) FILTER (WHERE s.branch IS NOT NULL) AS branches
  FROM drives d JOIN students s ON {MEETS_DRIVE}
 WHERE d.drive_id = $1
"""  # noqa: S608
STUDENTS = f"""
SELECT u.user_id, u.name, u.email, u.department, s.roll_number, s.branch, s.cgpa, s.active_backlogs
  FROM drives d JOIN students s ON {MEETS_DRIVE} JOIN users u ON u.user_id = s.student_id
 WHERE d.drive_id = $1
   AND ($2::numeric IS NULL OR s.cgpa >= $2) AND ($3::numeric IS NULL OR s.cgpa <= $3)
   AND ($4::text IS NULL OR s.branch = $4 OR branch_key(s.branch) = branch_key($4))
   AND ($5::integer IS NULL OR s.active_backlogs < $5)
 ORDER BY s.cgpa DESC NULLS LAST, u.name, u.user_id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Sieve:
    """What is left through; ``None`` is no limit. ``backlogs_below``: fewer than that."""

    cgpa_min: Decimal | None = None
    cgpa_max: Decimal | None = None
    branch: str | None = None
    backlogs_below: int | None = None


@dataclass(frozen=True, slots=True)
class Sifted:
    """``total`` and ``branches`` are of everyone eligible, ``students`` of those who are left."""

    total: int
    branches: list[str]
    students: list[asyncpg.Record]


async def sift(connection: Connection, drive_id: int, sieve: Sieve) -> Sifted:
    """Best CGPA first. Both statements see one moment when ``connection`` is in a repeatable-read transaction."""
    summary = await connection.fetchrow(SUMMARY, drive_id)
    assert summary is not None
    students = await connection.fetch(
        STUDENTS, drive_id, sieve.cgpa_min, sieve.cgpa_max, sieve.branch, sieve.backlogs_below
    )
    return Sifted(summary["total"], summary["branches"] or [], students)
