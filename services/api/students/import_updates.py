"""Statements of an import about students on record: find them, compare them, and write the changes.

``import_known`` holds, as JSON, each record before and after the import. Statements compare and write all records at
once. The transaction that writes compares the records again under its locks. So it never overwrites a correction that
was made after the check.
"""

from dataclasses import dataclass

from chassis.postgres.database import Connection
from contracts.students import AcademicRecord, StudentRecordRevised
from contracts.users import UserDetailsRevised
from services.api.students.import_checks import MARK, WHOLE
from services.api.users.decider import DETAILS, PERSONAL

RECORD_FIELDS = tuple(AcademicRecord.model_fields)

# by_roll: the student with the row's roll number; by_email: the account with its e-mail address.
CREATE = """
CREATE TEMPORARY TABLE import_match (
    line integer NOT NULL, by_roll integer, by_email integer, is_student boolean
);
CREATE TEMPORARY TABLE import_known (
    line integer NOT NULL, student_id integer NOT NULL, before jsonb NOT NULL, after jsonb NOT NULL,
    changed text[] NOT NULL
)
"""
DROP = "DROP TABLE IF EXISTS pg_temp.import_match, pg_temp.import_known"

# Two joins by identity: hash joins for a large file, index scans for a small one.
MATCH = """
INSERT INTO import_match (line, by_roll, by_email, is_student)
SELECT line, r.student_id, e.user_id, e.is_student
  FROM (SELECT i.line, s.student_id
          FROM import_row i JOIN students s ON identity_key(s.roll_number) = identity_key(i.roll_number)) r
  FULL JOIN (
        SELECT i.line, u.user_id, s.student_id IS NOT NULL AS is_student
          FROM import_row i JOIN users u ON identity_key(u.email) = identity_key(i.email)
               LEFT JOIN students s ON s.student_id = u.user_id) e USING (line)
"""
ANALYZE_MATCH = "ANALYZE import_match"


def _whole(column: str) -> str:
    return f"CASE WHEN i.{column} ~ '{WHOLE}' THEN i.{column}::numeric::integer END"


def _mark(column: str) -> str:
    return f"CASE WHEN i.{column} ~ '{MARK}' THEN i.{column}::numeric(5, 2)::text END"


# The format is that of the events. An invalid cell counts as empty here. Its row has an error and is not written.
FROM_FILE = f"""jsonb_strip_nulls(jsonb_build_object(
               'name', i.name, 'email', i.email, 'department', i.department, 'roll_number', i.roll_number,
               'branch', i.branch, 'batch_year', {_whole("batch_year")},
               'tenth_percent', {_mark("tenth_percent")},
               'twelfth_percent', {_mark("twelfth_percent")},
               'diploma_percent', {_mark("diploma_percent")},
               'cgpa', {_mark("cgpa")}, 'active_backlogs', {_whole("active_backlogs")}))"""
RECORDED = """jsonb_build_object(
               'name', u.name, 'email', u.email, 'department', u.department, 'roll_number', s.roll_number,
               'branch', s.branch, 'batch_year', s.batch_year, 'tenth_percent', s.tenth_percent::text,
               'twelfth_percent', s.twelfth_percent::text, 'diploma_percent', s.diploma_percent::text,
               'cgpa', s.cgpa::text, 'active_backlogs', s.active_backlogs)"""

# An empty cell or an absent column leaves the record unchanged.
COMPARE = f"""
INSERT INTO import_known (line, student_id, before, after, changed)
SELECT line, student_id, before, before || on_file,
       CASE WHEN before @> on_file THEN '{{}}'
            ELSE ARRAY (SELECT field FROM unnest($1::text[]) WITH ORDINALITY AS listed (field, place)
                         WHERE on_file ? field AND on_file -> field <> before -> field ORDER BY place) END
  FROM (SELECT i.line, s.student_id, {RECORDED} AS before, {FROM_FILE} AS on_file
          FROM import_match m JOIN import_row i USING (line)
               JOIN students s ON s.student_id = coalesce(m.by_roll, m.by_email)
               JOIN users u ON u.user_id = s.student_id
         WHERE m.is_student IS NOT FALSE AND (m.by_roll = m.by_email) IS NOT FALSE) AS known
"""  # noqa: S608
FORGET_KNOWN_ROWS = "DELETE FROM import_row i USING import_match m WHERE m.line = i.line"

# The order of these locks prevents deadlocks: accounts, then heads of student streams, then heads of user streams, each
# by id. A correction of details also locks the account first. An account without events has no stream head yet, so
# LOCK_DETAILS inserts one with version 0, which REVISE increments.
LOCK_ACCOUNTS = """
SELECT FROM users u JOIN import_known k ON k.student_id = u.user_id
 WHERE k.changed && $1::text[] ORDER BY k.student_id FOR UPDATE OF u
"""
LOCK_RECORDS = """
SELECT FROM es.stream h JOIN import_known k ON h.stream_id = 'student-' || k.student_id
 WHERE k.changed <> '{}' ORDER BY k.student_id FOR UPDATE OF h
"""
LOCK_DETAILS = """
INSERT INTO es.stream AS h (stream_id, stream_type, version, last_tx)
SELECT 'user-' || student_id, 'user', 0, (SELECT es.log_xid()) FROM import_known
 WHERE changed && $1::text[] ORDER BY student_id
    ON CONFLICT (stream_id) DO UPDATE SET version = h.version
"""
# Runs after the locks were taken, with a new snapshot.
OUTDATED = f"""
SELECT k.line FROM import_known k JOIN students s USING (student_id) JOIN users u ON u.user_id = k.student_id
 WHERE k.changed <> '{{}}' AND k.before <> {RECORDED}
 ORDER BY k.line LIMIT 1
"""  # noqa: S608

# The next version of each person whose personal details change ($1).
ADD_VERSIONS = """
INSERT INTO vault.person (person_id, version, name, email, roll_number)
SELECT k.student_id, u.person_version + 1, k.after ->> 'name', k.after ->> 'email', k.after ->> 'roll_number'
  FROM import_known k JOIN users u ON u.user_id = k.student_id
 WHERE k.changed && $1::text[]
"""

# $1: last student of the previous batch; $2: batch size; $3: metadata; $4: the stream's fields. No outbox rows are
# written: one event reports the whole import.
REVISE = """
WITH batch AS (
    SELECT student_id, after, ARRAY (SELECT field FROM unnest(changed) AS field WHERE field = ANY ($4)) AS changed
      FROM import_known WHERE student_id > $1 AND changed && $4::text[] ORDER BY student_id LIMIT $2
), listed AS (
    SELECT max(student_id) AS last,
           jsonb_agg(jsonb_build_object('stream', '{stream}-' || student_id, 'id', uuidv7(), 'type', '{type}',
                                        'data', {data}, 'metadata', $3::jsonb) ORDER BY student_id) AS events
      FROM batch
)
SELECT last, es.append_each(NULL, NULL, events) FROM listed WHERE last IS NOT NULL
"""
REVISE_RECORDS = REVISE.format(
    stream="student",
    type=StudentRecordRevised.TYPE,
    data="""jsonb_build_object('student_id', student_id, 'changed', changed,
                                'record', after - '{name,email,roll_number,department}'::text[])""",
)
REVISE_DETAILS = REVISE.format(
    stream="user",
    type=UserDetailsRevised.TYPE,
    data="""jsonb_build_object('user_id', student_id, 'department', after -> 'department', 'changed', changed,
                                'person_version', (SELECT u.person_version FROM users u WHERE u.user_id = student_id)
                                                  + (changed && '{name,email,roll_number}'::text[])::integer)""",
)
# Seed 1, because the digest of enrolled students uses seed 0.
DIGEST = """
SELECT count(*) AS count, coalesce(bit_xor(hashint8extended(student_id, 1)), 0) AS digest
  FROM import_known WHERE changed <> '{}'
"""


@dataclass(frozen=True, slots=True)
class Revised:
    """The number of changed students on record, and the digest of their ids."""

    count: int
    digest: int


async def match(connection: Connection) -> None:
    """Fill ``import_match`` with the accounts of the staged rows."""
    await connection.execute(MATCH)
    await connection.execute(ANALYZE_MATCH)


async def compare(connection: Connection) -> None:
    """Fill ``import_known`` with the changes of each student on record."""
    await connection.execute(COMPARE, [*DETAILS, *RECORD_FIELDS])


async def forget_known_rows(connection: Connection) -> None:
    """Delete rows of students on record from ``import_row``, in the caller's transaction."""
    await connection.execute(FORGET_KNOWN_ROWS)


async def lock(connection: Connection) -> int | None:
    """Lock the students that change, until the transaction ends.

    Return the line of a student who was changed since the file was validated; ``None`` if nobody was changed.
    """
    await connection.execute(LOCK_ACCOUNTS, list(DETAILS))
    await connection.execute(LOCK_RECORDS)
    await connection.execute(LOCK_DETAILS, list(DETAILS))
    line: int | None = await connection.fetchval(OUTDATED)
    return line


async def revise(connection: Connection, *, batch_size: int, metadata: str) -> Revised:
    """Write every change: versions of people, then events, stream heads and read tables, a batch at a time."""
    await connection.execute(ADD_VERSIONS, list(PERSONAL))
    for statement, fields in ((REVISE_RECORDS, RECORD_FIELDS), (REVISE_DETAILS, DETAILS)):
        last: int | None = 0
        while last is not None:
            last = await connection.fetchval(statement, last, batch_size, metadata, list(fields))
    row = await connection.fetchrow(DIGEST)
    assert row is not None
    return Revised(row["count"], row["digest"])
