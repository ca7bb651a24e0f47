"""Request new evaluations of posted drives after marks have changed. One statement finds the drives and requests them.

The caller's transaction has written the marks. Until its end no drive changes (``drives.sql.lock_criteria_shared``): a
change of criteria or status either committed before this statement, or is evaluated after these marks are committed.
A drive that has selected by a list evaluates only the students on it. An evaluation reads the current marks, so its
range may include students whom this change did not touch.

Plans (EXPLAIN ANALYZE, 1,000 posted drives with 50 sets of criteria, 100,000 students, 2 busy cores): REVISED is one
scan of ``drives``, 0.5 ms; the whole revision 8 ms when 20 drives are concerned, 0.2 s when all 1,000 are.
UNCONCERNED checks each set of criteria once and stops at the first student who meets it: checking new students takes
0.2 s when all drives are concerned, 2.2 s when none is. UNCONCERNED_BY_CHANGES does the same for students whom an
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

# $1 to $5: topic, lane, the event's data without drive and students, metadata, job. In the order of the ids.
ASK = """
WITH asked AS MATERIALIZED (
    SELECT jsonb_agg(jsonb_build_object(
               'stream', 'drive-' || a.drive_id, 'id', uuidv7(), 'type', '{type}',
               'data', $3::jsonb || jsonb_build_object('drive_id', a.drive_id, 'students', a.students),
               'metadata', $4::jsonb, 'job', $5::jsonb) ORDER BY a.drive_id) AS events
      FROM ({affected}) AS a
)
SELECT es.append_each($1, $2, events) FROM asked WHERE events IS NOT NULL
"""

# $6: the student; $7 to $13: the marks before, in the order of type marks. The key is computed once (OFFSET 0).
REVISED = f"""
    SELECT d.drive_id, jsonb_build_object('first', s.student_id, 'last', s.student_id) AS students
      FROM drives d JOIN students s ON s.student_id = $6
     CROSS JOIN (SELECT ROW($7, $8, $9, $10, $11, branch_key($12), $13)::marks AS before OFFSET 0) was
     WHERE d.status = 'posted' AND s.active AND {MEETS} <> meets_criteria(was.before, criteria_of(d))
       AND (d.list_version IS NULL OR EXISTS (
            SELECT FROM requested_selection r
             WHERE r.drive_id = d.drive_id AND r.drive_version = d.list_version AND r.student_id = $6))
"""  # noqa: S608

# $6: the student; $7: whether the account was active before.
ACTIVITY = f"""
    SELECT d.drive_id, jsonb_build_object('first', s.student_id, 'last', s.student_id) AS students
      FROM drives d JOIN students s ON s.student_id = $6
     WHERE d.status = 'posted' AND s.active <> $7 AND {MEETS}
       AND (d.list_version IS NULL OR EXISTS (
            SELECT FROM requested_selection r
             WHERE r.drive_id = d.drive_id AND r.drive_version = d.list_version AND r.student_id = $6))
"""  # noqa: S608

# Drives for which none of the students from $1 to $2 can be selected, and the versions for which this is true.
UNCONCERNED = f"""
SELECT array_agg(d.drive_id) AS ids, array_agg(d.version) AS versions FROM drives d
 WHERE d.status = 'posted' AND d.list_version IS NULL
 GROUP BY {CRITERIA}
HAVING NOT EXISTS (SELECT FROM students s
                    WHERE s.student_id BETWEEN $1 AND $2
                      AND meets_criteria(marks_of(s), ROW({CRITERIA})::criteria))
"""  # noqa: S608
# The marks before and after an import (import_updates), for the known students whom it changes.
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
# Like UNCONCERNED, for the students whose marks the import changes; `first` and `last` are their first and last id.
# A drive published to a list is checked on its own, because each list is different.
UNCONCERNED_BY_CHANGES = f"""
WITH marks AS MATERIALIZED ({MARKS}), unconcerned AS (
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
SELECT min(m.student_id) AS first, max(m.student_id) AS last, (SELECT jsonb_agg(u) FROM unconcerned u) AS unconcerned
  FROM marks m
"""  # noqa: S608
# $6 and $7: the range of the new students, or nulls; $8 and $9: the drives that they do not concern. $10 to $13: the
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

ASK_REVISED = ASK.format(affected=REVISED, type=ReevaluationRequested.TYPE)
ASK_ACTIVITY = ASK.format(affected=ACTIVITY, type=ReevaluationRequested.TYPE)
ASK_IMPORTED = ASK.format(affected=IMPORTED, type=ReevaluationRequested.TYPE)


async def request_for_revision(connection: Connection, student_id: int, before: AcademicRecord, cause: Cause) -> int:
    """Request an evaluation of each posted drive for which the student's verdict changes. Return how many."""
    await drives.lock_criteria_shared(connection)
    marks = [getattr(before, name) for name in Record._fields]
    return int(await connection.fetchval(ASK_REVISED, *_common(cause), student_id, *marks) or 0)


async def request_for_activity(connection: Connection, student_id: int, cause: Cause, *, was_active: bool) -> int:
    """Request a new evaluation of each posted drive whose criteria the student meets. Return how many.

    The account was deactivated or reactivated in this transaction.
    """
    await drives.lock_criteria_shared(connection)
    return int(await connection.fetchval(ASK_ACTIVITY, *_common(cause), student_id, was_active) or 0)


async def request_for_new_students(connection: Connection, students: StudentRange, cause: Cause) -> int:
    """Request an evaluation of each posted drive without a list that one of ``students`` meets. Return how many."""
    return await _request_imported(connection, await _new_students(connection, students), NO_STUDENTS, _common(cause))


async def request_for_import(
    connection: Connection, new_students: StudentRange | None, cause: Cause, import_id: UUID, *, includes_known: bool
) -> int:
    """Request one new evaluation of each posted drive that the import concerns. Return how many drives.

    ``includes_known``: the import may have changed marks of students on record; they are in ``import_known``.
    """
    new = await _new_students(connection, new_students) if new_students else NO_STUDENTS
    changed = await _changed_marks(connection) if includes_known else NO_STUDENTS
    return await _request_imported(connection, new, changed, _common(cause, import_id))


@dataclass(frozen=True, slots=True)
class _Concerned:
    """A range of new or changed students, and the drives (with their versions) that it does not concern."""

    first: int | None = None
    last: int | None = None
    ids: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


NO_STUDENTS = _Concerned()


# The long part runs before the lock. Drives that change meanwhile are evaluated in any case.
async def _new_students(connection: Connection, students: StudentRange) -> _Concerned:
    rows = await connection.fetch(UNCONCERNED, students.first, students.last)
    return _concerned(students.first, students.last, rows)


async def _changed_marks(connection: Connection) -> _Concerned:
    row = await connection.fetchrow(UNCONCERNED_BY_CHANGES, list(Record._fields))
    assert row is not None
    return _concerned(row["first"], row["last"], row["unconcerned"] or [])


def _concerned(first: int | None, last: int | None, unconcerned: Sequence[Any]) -> _Concerned:
    ids, versions = ([one for row in unconcerned for one in row[name]] for name in ("ids", "versions"))
    return _Concerned(first, last, ids, versions)


async def _request_imported(
    connection: Connection, new: _Concerned, changed: _Concerned, common: tuple[Any, ...]
) -> int:
    if new.first is None and changed.first is None:
        return 0
    await drives.lock_criteria_shared(connection)
    arguments = [value for one in (new, changed) for value in (one.first, one.last, one.ids, one.versions)]
    return int(await connection.fetchval(ASK_IMPORTED, *common, *arguments) or 0)


def concerns_eligibility(changed: list[str]) -> bool:
    """Return whether eligibility depends on one of these fields of a record."""
    return not set(Record._fields).isdisjoint(changed)


def _common(cause: Cause, import_id: UUID | None = None) -> tuple[str, int, str, str, str]:
    """Return ``$1`` to ``$5``. The statement replaces the drive and students."""
    topic = topics.of_stream("drive-0")
    anyone = StudentRange(first=1, last=1)
    data = ReevaluationRequested(drive_id=0, students=anyone, import_id=import_id).model_dump(mode="json")
    job = {"service": OWNER[KIND], "kind": KIND, "asked_by": cause.actor_id}
    asked = (data, cause.metadata(), job)
    data_text, metadata, job_text = (orjson.dumps(part).decode() for part in asked)
    return topic.name, int(topic.lane), data_text, metadata, job_text
