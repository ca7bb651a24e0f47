"""Reevaluate a range of students by their ids. The rows of other students are neither read nor changed.

A reevaluation reads the current marks, so its order and repetition do not matter.

Plans (EXPLAIN ANALYZE, 100,000 students, 60 drives with 30,000 selections each, 2 busy cores): for one student
REEVALUATE is a probe of ``students_pkey`` and one of ``selections_pkey``, 0.2 ms; for everyone, 28,771 of whom are
revoked, a scan of each, 0.9 s. The resulting set is not read: its count and digest follow from the set before and the
difference.
"""

from dataclasses import dataclass
from typing import Any

from chassis.postgres.database import Connection
from contracts.catalogue import read_event
from contracts.drives import Criteria
from contracts.eligibility import EligibilityEvaluated, SetChecksum
from contracts.message import Event
from contracts.students import StudentRange
from services.eligibility.sql import (
    MEETS,
    REQUESTED,
    SEAL,
    SNAPSHOT,
    Evaluated,
    arguments_of,
    count_registered,
    set_checksum,
)

# No row when no publication has been evaluated yet, or when one after $2 has been, which saw these marks.
BASIS = """
SELECT v.drive_version AS version, e.type, e.data
  FROM evaluations v JOIN drives d USING (drive_id)
  JOIN es.event e ON e.stream_id = 'drive-' || v.drive_id AND e.version = v.drive_version
 WHERE v.drive_id = $1 AND d.status = 'posted' AND v.applied AND v.drive_version < $2
"""
LAST = f"""
SELECT data FROM es.event
 WHERE stream_id = 'eligibility-' || $1::integer AND type = '{EligibilityEvaluated.TYPE}'
 ORDER BY version DESC LIMIT 1
"""  # noqa: S608

REEVALUATE = f"""
WITH evaluated AS MATERIALIZED (
    SELECT s.student_id, {MEETS} AND {REQUESTED} AS wanted
      FROM students s WHERE s.student_id BETWEEN $10 AND $11
), revoked AS (
    UPDATE selections c SET revoked_version = $2, revoked_at = statement_timestamp()
      FROM evaluated j
     WHERE c.drive_id = $1 AND c.student_id = j.student_id AND c.revoked_version IS NULL AND NOT j.wanted
    RETURNING c.student_id
), added AS (
    INSERT INTO selections (drive_id, student_id, selected_version, selected_at)
    SELECT $1, j.student_id, $2, statement_timestamp() FROM evaluated j
     WHERE j.wanted AND NOT EXISTS (
           SELECT FROM selections c
            WHERE c.drive_id = $1 AND c.student_id = j.student_id AND c.revoked_version IS NULL)
    RETURNING student_id
)
SELECT 'added' AS what, {SEAL}, {SNAPSHOT} FROM added
UNION ALL
SELECT 'revoked', {SEAL}, {SNAPSHOT} FROM revoked
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Basis:
    """The version on which the drive's selections are based, and the event that requested its evaluation."""

    version: int
    event: Event


async def basis(connection: Connection, drive_id: int, version: int) -> Basis | None:
    """Return the basis. ``None``: the drive is not posted, or has no evaluation yet, or one newer than ``version``."""
    row = await connection.fetchrow(BASIS, drive_id, version)
    return Basis(row["version"], read_event(row["type"], row["data"])) if row else None


async def reevaluate_range(
    connection: Connection,
    drive_id: int,
    version: int,
    criteria: Criteria,
    list_version: int | None,
    students: StudentRange,
) -> Evaluated:
    """Apply ``criteria`` and the list to ``students``. Replace their selections and return the difference."""
    data: dict[str, Any] = await connection.fetchval(LAST, drive_id)
    before = EligibilityEvaluated.model_validate(data)
    arguments = arguments_of(drive_id, version, criteria)
    found = await connection.fetch(REEVALUATE, *arguments, list_version, students.first, students.last)
    rows = {row["what"]: row for row in found}
    added, revoked = set_checksum(rows["added"]), set_checksum(rows["revoked"])
    selected = SetChecksum(
        count=before.selected.count + added.count - revoked.count,
        digest=str(int(before.selected.digest) ^ int(added.digest) ^ int(revoked.digest)),
    )
    eligible = selected.count if list_version is None else before.eligible
    registered = await count_registered(connection, arguments, students=students) if revoked.count else 0
    return Evaluated(eligible, selected, added, revoked, rows["added"]["snapshot"], registered)
