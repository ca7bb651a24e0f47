"""Request new evaluations of posted drives after marks have changed. One statement finds the drives and requests them.

The caller's transaction has written the marks. Its lock (``drives.sql.lock_criteria_shared``) blocks changes of drives
until it ends. So a change of criteria or status either committed before this statement, or is evaluated with the new
marks. A drive that was published to a list evaluates only the students on the list. An evaluation reads the current
marks, so its range may include students whom this change did not touch.

Plans (EXPLAIN ANALYZE, 1,000 posted drives with 50 sets of criteria, 100,000 students, 2 busy cores): REVISED scans
``drives`` once, in 0.5 ms. A revision takes 8 ms if it affects 20 drives, and 0.2 s if it affects all 1,000.
UNAFFECTED checks each set of criteria once, and stops at the first student who meets it. For new students it takes
0.2 s if all drives are affected, and 2.2 s if no drive is. UNAFFECTED_BY_CHANGES does the same for students whom an
import updates. So the cost of an import depends on the number of sets of criteria, not on the number of drives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Connection
from contracts import topics
from contracts.drives import ReevaluationRequested
from contracts.jobs import KIND_OF, OWNER
from contracts.students import AcademicRecord, StudentRange
from services.api.drives import sql as drives
from services.api.eligibility.rules import Record

KIND = KIND_OF[ReevaluationRequested.TYPE]

MEETS = "meets_criteria(marks_of(s), criteria_of(d))"
CRITERIA = "d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branch_keys, d.batch_years"

# Whether drive d has no list, or its list has student $6.
IS_SELECTABLE = """(d.list_version IS NULL OR EXISTS (
            SELECT FROM requested_selection r
             WHERE r.drive_id = d.drive_id AND r.drive_version = d.list_version AND r.student_id = $6))"""

# $1 to $5: topic, lane, the event's data without drive and students, metadata, job. Drives are in order of their ids.
REQUEST = """
WITH request AS MATERIALIZED (
    SELECT jsonb_agg(jsonb_build_object(
               'stream', 'drive-' || a.drive_id, 'id', uuidv7(), 'type', '{type}',
               'data', $3::jsonb || jsonb_build_object('drive_id', a.drive_id, 'students', a.students),
               'metadata', $4::jsonb, 'job', $5::jsonb) ORDER BY a.drive_id) AS events
      FROM ({affected}) AS a
)
SELECT es.append_each($1, $2, events) FROM request WHERE events IS NOT NULL
"""

# $6: the student; $7 to $13: the previous marks, in the order of the type marks. With OFFSET 0, Postgres computes the
# branch key once.
REVISED = f"""
    SELECT d.drive_id, jsonb_build_object('first', s.student_id, 'last', s.student_id) AS students
      FROM drives d JOIN students s ON s.student_id = $6
     CROSS JOIN (SELECT ROW($7, $8, $9, $10, $11, branch_key($12), $13)::marks AS before OFFSET 0) was
     WHERE d.status = 'posted' AND s.active AND {MEETS} <> meets_criteria(was.before, criteria_of(d))
       AND {IS_SELECTABLE}
"""  # noqa: S608

# $6: the student; $7: whether the account was active before.
ACTIVITY = f"""
    SELECT d.drive_id, jsonb_build_object('first', s.student_id, 'last', s.student_id) AS students
      FROM drives d JOIN students s ON s.student_id = $6
     WHERE d.status = 'posted' AND s.active <> $7 AND {MEETS}
       AND {IS_SELECTABLE}
"""  # noqa: S608

# Drives for which none of the students from $1 to $2 can be selected, and the versions for which this is true.
UNAFFECTED = f"""
SELECT array_agg(d.drive_id) AS ids, array_agg(d.version) AS versions FROM drives d
 WHERE d.status = 'posted' AND d.list_version IS NULL
 GROUP BY {CRITERIA}
HAVING NOT EXISTS (SELECT FROM students s
                    WHERE s.student_id BETWEEN $1 AND $2
                      AND meets_criteria(marks_of(s), ROW({CRITERIA})::criteria))
"""  # noqa: S608
# The marks before and after an import (import_updates), for the students on record whom it changes.
MARKS = """
SELECT k.student_id,
       ROW(b.cgpa, b.tenth_percent, b.twelfth_percent, b.diploma_percent, b.active_backlogs, branch_key(b.branch),
           b.batch_year)::marks AS before,
       ROW(a.cgpa, a.tenth_percent, a.twelfth_percent, a.diploma_percent, a.active_backlogs, branch_key(a.branch),
           a.batch_year)::marks AS after
  FROM import_known k,
       jsonb_to_record(k.before) AS b (cgpa numeric, tenth_percent numeric, twelfth_percent numeric,
           diploma_percent numeric, active_backlogs integer, branch text, batch_year integer),
       jsonb_to_record(k.after) AS a (cgpa numeric, tenth_percent numeric, twelfth_percent numeric,
           diploma_percent numeric, active_backlogs integer, branch text, batch_year integer)
 WHERE k.changed && $1::text[]
"""
VERDICT_CHANGES = f"""
meets_criteria(s.before, ROW({CRITERIA})::criteria) <> meets_criteria(s.after, ROW({CRITERIA})::criteria)
"""
# Like UNAFFECTED, for the students whose marks the import changes; `first` and `last` are their first and last id.
# A drive published to a list is checked on its own, because each list is different.
UNAFFECTED_BY_CHANGES = f"""
WITH marks AS MATERIALIZED ({MARKS}), unaffected AS (
    SELECT array_agg(d.drive_id) AS ids, array_agg(d.version) AS versions FROM drives d
     WHERE d.status = 'posted' AND d.list_version IS NULL
     GROUP BY {CRITERIA}
    HAVING NOT EXISTS (SELECT FROM marks s WHERE {VERDICT_CHANGES})
    UNION ALL
    SELECT ARRAY[d.drive_id], ARRAY[d.version] FROM drives d
     WHERE d.status = 'posted' AND d.list_version IS NOT NULL AND NOT EXISTS (
           SELECT FROM marks s JOIN requested_selection r USING (student_id)
            WHERE r.drive_id = d.drive_id AND r.drive_version = d.list_version AND {VERDICT_CHANGES})
)
SELECT min(m.student_id) AS first, max(m.student_id) AS last, (SELECT jsonb_agg(u) FROM unaffected u) AS unaffected
  FROM marks m
"""  # noqa: S608
# $6 and $7: the range of the new students, or nulls; $8 and $9: the drives that they do not affect. $10 to $13: the
# same for students whose marks changed. No list contains new students.
IMPORTED = """
    SELECT d.drive_id,
           jsonb_build_object('first', least(n.first, c.first), 'last', greatest(n.last, c.last)) AS students
      FROM drives d
      LEFT JOIN (SELECT $6::integer AS first, $7::integer AS last) n
        ON n.first IS NOT NULL AND d.list_version IS NULL
       AND (d.drive_id, d.version) NOT IN (SELECT * FROM unnest($8::integer[], $9::bigint[]))
      LEFT JOIN (SELECT $10::integer AS first, $11::integer AS last) c
        ON c.first IS NOT NULL AND (d.drive_id, d.version) NOT IN (SELECT * FROM unnest($12::integer[], $13::bigint[]))
     WHERE d.status = 'posted' AND (n.first IS NOT NULL OR c.first IS NOT NULL)
"""

REQUEST_REVISED = REQUEST.format(affected=REVISED, type=ReevaluationRequested.TYPE)
REQUEST_ACTIVITY = REQUEST.format(affected=ACTIVITY, type=ReevaluationRequested.TYPE)
REQUEST_IMPORTED = REQUEST.format(affected=IMPORTED, type=ReevaluationRequested.TYPE)


async def request_for_revision(connection: Connection, student_id: int, before: AcademicRecord, cause: Cause) -> int:
    """Request an evaluation of each posted drive for which the student's verdict changes. Return how many."""
    await drives.lock_criteria_shared(connection)
    marks = [getattr(before, name) for name in Record._fields]
    return int(await connection.fetchval(REQUEST_REVISED, *_common(cause), student_id, *marks) or 0)


async def request_for_activity(connection: Connection, student_id: int, cause: Cause, *, was_active: bool) -> int:
    """Request a new evaluation of each posted drive whose criteria the student meets. Return how many.

    The account was deactivated or reactivated in this transaction.
    """
    await drives.lock_criteria_shared(connection)
    return int(await connection.fetchval(REQUEST_ACTIVITY, *_common(cause), student_id, was_active) or 0)


async def request_for_new_students(connection: Connection, students: StudentRange, cause: Cause) -> int:
    """Request an evaluation of each posted drive without a list that one of ``students`` meets. Return how many."""
    return await _request_imported(connection, await _new_students(connection, students), NO_STUDENTS, _common(cause))


async def request_for_import(
    connection: Connection, new_students: StudentRange | None, cause: Cause, import_id: UUID, *, includes_known: bool
) -> int:
    """Request one new evaluation of each posted drive that the import affects. Return how many drives.

    ``includes_known``: the import may have changed marks of students on record; they are in ``import_known``.
    """
    new = await _new_students(connection, new_students) if new_students else NO_STUDENTS
    changed = await _changed_marks(connection) if includes_known else NO_STUDENTS
    return await _request_imported(connection, new, changed, _common(cause, import_id))


@dataclass(frozen=True, slots=True)
class _ChangedStudents:
    """A range of new or changed students, and the drives (with their versions) that they do not affect."""

    first: int | None = None
    last: int | None = None
    ids: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


NO_STUDENTS = _ChangedStudents()


# This part takes long, so it runs before the lock. A drive that changes meanwhile is evaluated in any case.
async def _new_students(connection: Connection, students: StudentRange) -> _ChangedStudents:
    rows = await connection.fetch(UNAFFECTED, students.first, students.last)
    return _changed_students(students.first, students.last, rows)


async def _changed_marks(connection: Connection) -> _ChangedStudents:
    row = await connection.fetchrow(UNAFFECTED_BY_CHANGES, list(Record._fields))
    assert row is not None
    return _changed_students(row["first"], row["last"], row["unaffected"] or [])


def _changed_students(first: int | None, last: int | None, unaffected: Sequence[Any]) -> _ChangedStudents:
    ids, versions = ([value for row in unaffected for value in row[name]] for name in ("ids", "versions"))
    return _ChangedStudents(first, last, ids, versions)


async def _request_imported(
    connection: Connection, new: _ChangedStudents, changed: _ChangedStudents, common: tuple[Any, ...]
) -> int:
    if new.first is None and changed.first is None:
        return 0
    await drives.lock_criteria_shared(connection)
    arguments = [
        value
        for students in (new, changed)
        for value in (students.first, students.last, students.ids, students.versions)
    ]
    return int(await connection.fetchval(REQUEST_IMPORTED, *common, *arguments) or 0)


def concerns_eligibility(changed: list[str]) -> bool:
    """Return whether eligibility depends on one of these fields of a record."""
    return not set(Record._fields).isdisjoint(changed)


def _common(cause: Cause, import_id: UUID | None = None) -> tuple[str, int, str, str, str]:
    """Return ``$1`` to ``$5``. The statement replaces the drive and the students in the event's data."""
    topic = topics.of_stream("drive-0")
    anyone = StudentRange(first=1, last=1)
    data = ReevaluationRequested(drive_id=0, students=anyone, import_id=import_id).model_dump(mode="json")
    job = {"service": OWNER[KIND], "kind": KIND, "requested_by": cause.actor_id}
    data_text, metadata, job_text = (orjson.dumps(part).decode() for part in (data, cause.metadata(), job))
    return topic.name, int(topic.lane), data_text, metadata, job_text
