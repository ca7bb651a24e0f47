"""Statements about drives."""

import asyncpg

from chassis.postgres.database import Connection
from contracts.drives import DriveCreated, DriveRevised, Requested

NEXT_ID = "SELECT nextval('drive_id_seq')::integer"

COLUMNS = """d.drive_id, d.company_name, d.job_title, d.job_description, d.domain_id, j.domain_name, d.interview_date,
       d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branches, d.batch_years, d.posted_by, d.created_at,
       d.auto_published, d.pdf_path, d.status, d.published_at, d.published_by, d.attendance_published, d.version"""

# Index scan on drives_newest. $1: include drives that are not published yet.
LIST = f"""
SELECT {COLUMNS} FROM drives d LEFT JOIN job_domains j USING (domain_id)
 WHERE $1::boolean OR d.status IN ('posted', 'attending') OR d.attendance_published
 ORDER BY d.created_at DESC, d.drive_id DESC
"""  # noqa: S608
GET = f"SELECT {COLUMNS} FROM drives d LEFT JOIN job_domains j USING (domain_id) WHERE d.drive_id = $1"  # noqa: S608

# An evaluation takes the same lock, so no drive is deleted during its evaluation.
LOCK_EVALUATION = "SELECT lock_exclusive('evaluation', $1)"

# Registrations and attendance marks take this lock in shared mode, and read the drive's status in their next statement.
LOCK_REGISTRATIONS = "SELECT lock_exclusive('registration', $1)"
LOCK_REGISTRATIONS_SHARED = "SELECT lock_shared('registration', $1)"

# Commands on drives hold this lock; changes of marks hold it in shared mode. If the command commits first, the change
# of marks sees the changed drive and requests its evaluation. Otherwise the drive is evaluated with the new marks.
LOCK_CRITERIA = "SELECT lock_exclusive('criteria')"
LOCK_CRITERIA_SHARED = "SELECT lock_shared('criteria')"

# Index-only scan of registrations_drive_student_unique.
COUNT_REGISTERED = "SELECT count(*) FROM registrations WHERE drive_id = $1"

# The newest posting that names the file, by an index scan on event_pdf_path.
PDF_NAME = f"""
SELECT data #>> '{{posting,pdf_name}}' FROM es.event
 WHERE type IN ('{DriveCreated.TYPE}', '{DriveRevised.TYPE}') AND data #>> '{{posting,pdf_path}}' = $1
 ORDER BY position DESC LIMIT 1
"""  # noqa: S608

# The number of requested ids that do not belong to an eligible student, and the first $3 of these ids. The
# array is passed as text, because encoding a million Python integers would block the event loop.
NOT_ELIGIBLE = """
WITH not_eligible AS MATERIALIZED (
    SELECT DISTINCT requested.id FROM unnest($2::text::integer[]) AS requested (id)
     WHERE NOT EXISTS (
         SELECT FROM students s, drives d
          WHERE s.student_id = requested.id AND d.drive_id = $1
            AND s.active AND meets_criteria(marks_of(s), criteria_of(d)))
)
SELECT (SELECT count(*) FROM not_eligible) AS count, ARRAY (SELECT id FROM not_eligible ORDER BY id LIMIT $3) AS first
"""

# Stops at the first student of each branch. Reads all students only for a branch that none of them has.
WITHOUT_STUDENTS = """
SELECT listed.branch FROM unnest($1::text[]) WITH ORDINALITY AS listed (branch, place)
 WHERE NOT EXISTS (SELECT FROM students s WHERE s.branch_key = branch_key(listed.branch)) ORDER BY listed.place
"""
# The planner cannot estimate the length of the array. For a long array, a hash join is faster than a look-up per id.
LONG_ARRAY = 64 * 1024
HASH_ONLY, ANY_JOIN = "SET LOCAL enable_nestloop = off", "SET LOCAL enable_nestloop TO DEFAULT"

KEEP_LIST = """
WITH stored AS (
    INSERT INTO requested_selection (drive_id, drive_version, student_id)
    SELECT DISTINCT $1::integer, $2::bigint, requested.id
      FROM unnest($3::text::integer[]) AS requested (id) ORDER BY requested.id
    RETURNING student_id
)
SELECT count(*) AS count, coalesce(bit_xor(hashint8extended(student_id, $1::integer)), 0)::text AS digest FROM stored
"""


async def next_id(connection: Connection) -> int:
    return int(await connection.fetchval(NEXT_ID))


async def list_all(connection: Connection, *, with_pending: bool) -> list[asyncpg.Record]:
    """Return drives, newest first, with the columns of the API's drive object."""
    return await connection.fetch(LIST, with_pending)


async def get(connection: Connection, drive_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(GET, drive_id)


async def count_registered(connection: Connection, drive_id: int) -> int:
    """Return how many students have registered for the drive."""
    return int(await connection.fetchval(COUNT_REGISTERED, drive_id))


async def pdf_name(connection: Connection, pdf_path: str) -> str | None:
    """Return the name under which the PDF at ``pdf_path`` was uploaded; ``None`` if none was recorded."""
    name: str | None = await connection.fetchval(PDF_NAME, pdf_path)
    return name


async def lock_evaluation(connection: Connection, drive_id: int) -> None:
    """Wait for a running evaluation of the drive, and block others until the transaction ends."""
    await connection.execute(LOCK_EVALUATION, drive_id)


async def lock_registrations(connection: Connection, drive_id: int) -> None:
    """Wait for transactions that register for the drive or mark its attendance, and block new ones."""
    await connection.execute(LOCK_REGISTRATIONS, drive_id)


async def lock_registrations_shared(connection: Connection, drive_id: int) -> None:
    """Block commands that stop registrations, publish attendance or delete the drive, until the transaction ends.

    Read the drive's status in the next statement: this statement's snapshot may be older than the lock.
    """
    await connection.execute(LOCK_REGISTRATIONS_SHARED, drive_id)


async def lock_criteria(connection: Connection) -> None:
    """Block changes of marks until the transaction ends.

    A transaction takes this lock last, so the holder never waits for another of these locks.
    """
    await connection.execute(LOCK_CRITERIA)


async def lock_criteria_shared(connection: Connection) -> None:
    """Block changes of drives until the transaction ends. Concurrent changes of marks do not block each other."""
    await connection.execute(LOCK_CRITERIA_SHARED)


async def not_eligible(connection: Connection, drive_id: int, array: str, *, shown: int) -> tuple[int, list[int]]:
    """Return the number of ids of ``array`` (``SelectedStudents``) that cannot be selected, and the first ``shown``."""
    long = len(array) > LONG_ARRAY
    if long:
        await connection.execute(HASH_ONLY)
    row = await connection.fetchrow(NOT_ELIGIBLE, drive_id, array, shown)
    if long:
        await connection.execute(ANY_JOIN)
    assert row is not None
    return row["count"], row["first"]


async def branches_without_students(connection: Connection, branches: list[str]) -> list[str]:
    """Return those of ``branches`` that no student has, ignoring case and spelling variants."""
    return [row["branch"] for row in await connection.fetch(WITHOUT_STUDENTS, branches)]


async def keep_list(connection: Connection, drive_id: int, version: int, array: str) -> Requested:
    """Store the list of the publication that becomes ``version``. Return its count and checksum."""
    row = await connection.fetchrow(KEEP_LIST, drive_id, version, array)
    assert row is not None
    return Requested(count=row["count"], digest=row["digest"])
