"""Which posted drives must judge students again because their marks are new, and asking for it: one statement.

The caller's transaction has written the marks. From here to its end no drive changes (``drives.sql.share_turn``): one
whose criteria or status are changing has committed before this looks, or is evaluated after these marks are committed.
A drive that has selected by a list asks only about those on it. Whoever is judged is judged by the marks of that
moment, so a range may hold students whom this change did not touch.

Plans (EXPLAIN ANALYZE, 1,000 posted drives with 50 sets of criteria, 100,000 students, 2 busy cores): REVISED is one
scan of ``drives``, 0.5 ms; the whole revision 8 ms when 20 drives are concerned, 0.2 s when all 1,000 are.
UNCONCERNED tries each set of criteria once and stops at the first student who meets it: the whole of NEWCOMERS is 0.2 s
when all drives are concerned, 2.2 s when none is.
"""

from uuid import UUID

import orjson

from chassis.database import Connection
from chassis.event_store import Cause
from contracts import topics
from contracts.drives import ReevaluationRequested
from contracts.jobs import KIND_OF, OWNER
from contracts.students import AcademicRecord, StudentRange
from services.api.drives import sql as drives
from services.api.eligibility.rules import Record

KIND = KIND_OF[ReevaluationRequested.TYPE]

STUDENT = "s.cgpa, s.tenth_percent, s.twelfth_percent, s.active_backlogs, s.branch, s.batch_year"
CRITERIA = "d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branches, d.batch_years"

# $1 to $5: topic, lane, the event's data but for its drive, metadata, job. In the order of the ids.
ASK = """
WITH asked AS MATERIALIZED (
    SELECT jsonb_agg(jsonb_build_object(
               'stream', 'drive-' || a.drive_id, 'id', uuidv7(), 'type', '{type}',
               'data', $3::jsonb || jsonb_build_object('drive_id', a.drive_id),
               'metadata', $4::jsonb, 'job', $5::jsonb) ORDER BY a.drive_id) AS events
      FROM ({affected}) AS a
)
SELECT es.append_each($1, $2, events) FROM asked WHERE events IS NOT NULL
"""

# $6: the student; $7 to $12: his marks before.
REVISED = f"""
    SELECT d.drive_id FROM drives d JOIN students s ON s.student_id = $6
     WHERE d.status = 'posted' AND s.active
       AND meets_criteria({STUDENT}, {CRITERIA})
           <> meets_criteria($7::numeric, $8::numeric, $9::numeric, $10::integer, $11::text, $12::integer, {CRITERIA})
       AND (d.list_version IS NULL OR EXISTS (
            SELECT FROM requested_selection r
             WHERE r.drive_id = d.drive_id AND r.drive_version = d.list_version AND r.student_id = $6))
"""  # noqa: S608

# $6: the student; $7: whether the account was active before.
ACTIVITY = f"""
    SELECT d.drive_id FROM drives d JOIN students s ON s.student_id = $6
     WHERE d.status = 'posted' AND s.active <> $7 AND meets_criteria({STUDENT}, {CRITERIA})
       AND (d.list_version IS NULL OR EXISTS (
            SELECT FROM requested_selection r
             WHERE r.drive_id = d.drive_id AND r.drive_version = d.list_version AND r.student_id = $6))
"""  # noqa: S608

# Drives that none of the students from $1 to $2 can be selected for, and the versions of which that is true.
UNCONCERNED = f"""
SELECT array_agg(d.drive_id) AS ids, array_agg(d.version) AS versions FROM drives d
 WHERE d.status = 'posted' AND d.list_version IS NULL
 GROUP BY {CRITERIA}
HAVING NOT EXISTS (SELECT FROM students s
                    WHERE s.student_id BETWEEN $1 AND $2 AND meets_criteria({STUDENT}, {CRITERIA}))
"""  # noqa: S608
# $6 and $7: what UNCONCERNED found. No list has newcomers on it.
NEWCOMERS = """
    SELECT d.drive_id FROM drives d
     WHERE d.status = 'posted' AND d.list_version IS NULL
       AND NOT EXISTS (SELECT FROM unnest($6::integer[], $7::bigint[]) AS u (drive_id, version)
                        WHERE u.drive_id = d.drive_id AND u.version = d.version)
"""

ASK_REVISED = ASK.format(affected=REVISED, type=ReevaluationRequested.TYPE)
ASK_ACTIVITY = ASK.format(affected=ACTIVITY, type=ReevaluationRequested.TYPE)
ASK_NEWCOMERS = ASK.format(affected=NEWCOMERS, type=ReevaluationRequested.TYPE)


async def ask_for_revised(connection: Connection, student_id: int, before: AcademicRecord, cause: Cause) -> int:
    """Have each posted drive for which the student's verdict is another now judge him again; how many there are."""
    await drives.share_turn(connection)
    marks = [getattr(before, name) for name in Record._fields]
    common = _common(StudentRange(first=student_id, last=student_id), cause)
    return int(await connection.fetchval(ASK_REVISED, *common, student_id, *marks) or 0)


async def ask_for_activity(connection: Connection, student_id: int, cause: Cause, *, was_active: bool) -> int:
    """Have each posted drive for which the student meets the criteria evaluate them again; return how many.

    The account was deactivated or reactivated in this transaction.
    """
    await drives.share_turn(connection)
    common = _common(StudentRange(first=student_id, last=student_id), cause)
    return int(await connection.fetchval(ASK_ACTIVITY, *common, student_id, was_active) or 0)


async def ask_for_newcomers(
    connection: Connection, students: StudentRange, cause: Cause, import_id: UUID | None = None
) -> int:
    """Have each posted drive that selects everyone eligible, and finds one among these, judge them; how many."""
    # The long part is done before: meanwhile drives may change, and those that do are asked in any case.
    rows = await connection.fetch(UNCONCERNED, students.first, students.last)
    ids, versions = ([one for row in rows for one in row[name]] for name in ("ids", "versions"))
    await drives.share_turn(connection)
    common = _common(students, cause, import_id)
    return int(await connection.fetchval(ASK_NEWCOMERS, *common, ids, versions) or 0)


def concerns_eligibility(changed: list[str]) -> bool:
    """Is one of these fields of a record what eligibility is judged on?"""
    return not set(Record._fields).isdisjoint(changed)


def _common(students: StudentRange, cause: Cause, import_id: UUID | None = None) -> tuple[str, int, str, str, str]:
    """``$1`` to ``$5``. Whichever drive: the statement puts its id in place of this one."""
    topic = topics.of_stream("drive-0")
    data = ReevaluationRequested(drive_id=0, students=students, import_id=import_id).model_dump(mode="json")
    job = {"service": OWNER[KIND], "kind": KIND, "asked_by": cause.actor_id}
    asked = (data, cause.metadata(), job)
    data_text, metadata, job_text = (orjson.dumps(part).decode() for part in asked)
    return topic.name, int(topic.lane), data_text, metadata, job_text
