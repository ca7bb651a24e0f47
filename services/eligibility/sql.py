"""Statements of the eligibility service. Each handles a whole set of students, never one student at a time.

Plans (EXPLAIN, 100,000 students): one sequential scan of ``students``, with ``meets_criteria`` inlined as its filter,
feeds the insert. The anti-joins of REPLACE hash the drive's current selections, which an index scan of the primary key
finds. Each statement returns its own snapshot, because an earlier snapshot might not include marks that it saw.
Statements for ranges of students are in ``range_sql``.
"""

from dataclasses import dataclass
from typing import Any

from chassis.postgres.database import Connection
from contracts.branches import branch_keys
from contracts.drives import Criteria
from contracts.eligibility import SetChecksum
from contracts.message import MAX_INTEGER
from contracts.students import StudentRange

# Registrations use another lock, so that they do not wait for an evaluation.
LOCK = "SELECT lock_exclusive('evaluation', $1)"

# Takes the same lock, and returns the state.
BEGIN = "SELECT newest, replaces, first FROM start_evaluation($1, $2)"

CRITERIA = "ROW($3, $4, $5, $6, $7, $8)::criteria"
# marks_of needs every column of students, and this service may not read roll numbers.
MEETS = f"""(s.active AND meets_criteria(
                      ROW(s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs,
                          s.branch_key, s.batch_year)::marks, {CRITERIA}))"""
REQUESTED = """($9::bigint IS NULL OR EXISTS (
           SELECT FROM requested_selection r
            WHERE r.drive_id = $1 AND r.drive_version = $9 AND r.student_id = s.student_id))"""
CHECKSUM = "count(*) AS count, coalesce(bit_xor(hashint8extended(student_id, $1::integer)), 0)::text AS digest"

SNAPSHOT = "es.log_snapshot()::text AS snapshot"

COUNT_ELIGIBLE = f"""
SELECT count(*) AS count, {SNAPSHOT} FROM students s
 WHERE {MEETS} AND $1::integer IS NOT NULL AND $2::bigint IS NOT NULL
"""  # noqa: S608

SELECT_FIRST = f"""
WITH added AS (
    INSERT INTO selections (drive_id, student_id, selected_version, selected_at)
    SELECT $1, s.student_id, $2, statement_timestamp() FROM students s WHERE {MEETS}
    RETURNING student_id
)
SELECT {CHECKSUM}, {SNAPSHOT} FROM added
"""  # noqa: S608

SELECT_LISTED = f"""
WITH added AS (
    INSERT INTO selections (drive_id, student_id, selected_version, selected_at)
    SELECT $1, s.student_id, $2, statement_timestamp()
      FROM requested_selection r JOIN students s USING (student_id)
     WHERE r.drive_id = $1 AND r.drive_version = $9 AND {MEETS}
    RETURNING student_id
)
SELECT {CHECKSUM}, {SNAPSHOT} FROM added
"""  # noqa: S608

REPLACE = f"""
WITH wanted AS MATERIALIZED (
    SELECT s.student_id FROM students s WHERE {MEETS} AND {REQUESTED}
), revoked AS (
    UPDATE selections c SET revoked_version = $2, revoked_at = statement_timestamp()
     WHERE c.drive_id = $1 AND c.revoked_version IS NULL
       AND NOT EXISTS (SELECT FROM wanted w WHERE w.student_id = c.student_id)
    RETURNING student_id
), added AS (
    INSERT INTO selections (drive_id, student_id, selected_version, selected_at)
    SELECT $1, w.student_id, $2, statement_timestamp() FROM wanted w
     WHERE NOT EXISTS (SELECT FROM selections c
                        WHERE c.drive_id = $1 AND c.revoked_version IS NULL AND c.student_id = w.student_id)
    RETURNING student_id
)
SELECT 'added' AS what, {CHECKSUM}, {SNAPSHOT} FROM added
UNION ALL
SELECT 'revoked', {CHECKSUM}, {SNAPSHOT} FROM revoked
"""  # noqa: S608

PRESENT = f"SELECT {CHECKSUM} FROM selections WHERE drive_id = $1 AND revoked_version IS NULL"  # noqa: S608

# Also waits for registrations in progress.
REGISTERED = f"SELECT count_registered_no_longer_eligible($1, $2, {CRITERIA}, $9, $10, $11)"


EVERYONE = StudentRange(first=1, last=MAX_INTEGER)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of an evaluation. ``eligible``: how many students meet the criteria, whether listed or not.

    ``snapshot``: the snapshot in which the marks were read. ``registered``: how many registered students do not meet
    the criteria any more.
    """

    eligible: int
    selected: SetChecksum
    added: SetChecksum
    revoked: SetChecksum
    snapshot: str
    registered: int = 0


async def lock_evaluation(connection: Connection, drive_id: int) -> None:
    """Lock the drive against other evaluations and its deletion, until the transaction ends."""
    await connection.execute(LOCK, drive_id)


@dataclass(frozen=True, slots=True)
class EvaluationState:
    """The state of a drive before an evaluation of one of its versions.

    ``newest``: the drive exists, and neither this version nor a later one has been evaluated. ``replaces``: the drive
    has selections now. ``first``: the drive never had selections.
    """

    newest: bool
    replaces: bool
    first: bool


async def begin(connection: Connection, drive_id: int, version: int) -> EvaluationState:
    """Lock like ``lock_evaluation``, and return the drive's state."""
    row = await connection.fetchrow(BEGIN, drive_id, version)
    assert row is not None
    return EvaluationState(row["newest"], row["replaces"], row["first"])


async def replace_selections(
    connection: Connection,
    drive_id: int,
    version: int,
    criteria: Criteria,
    list_version: int | None,
    state: EvaluationState,
) -> Evaluated:
    """Apply ``criteria`` and the list to all students, replace the drive's selections, and return the difference."""
    arguments = arguments_of(drive_id, version, criteria)
    revoked = SetChecksum(count=0)
    if state.replaces:
        rows = {row["what"]: row for row in await connection.fetch(REPLACE, *arguments, list_version)}
        added, revoked = set_checksum(rows["added"]), set_checksum(rows["revoked"])
        selected, snapshot = set_checksum(await connection.fetchrow(PRESENT, drive_id)), rows["added"]["snapshot"]
    else:
        listed = () if list_version is None else (list_version,)
        row = await connection.fetchrow(SELECT_LISTED if listed else SELECT_FIRST, *arguments, *listed)
        assert row is not None
        added = selected = set_checksum(row)
        snapshot = row["snapshot"]
    eligible = selected.count if list_version is None else await connection.fetchval(COUNT_ELIGIBLE, *arguments)
    registered = 0
    if revoked.count or state.first:
        registered = await count_registered(connection, arguments, anyone=state.first)
    return Evaluated(eligible, selected, added, revoked, snapshot, registered)


async def count_registered(
    connection: Connection, arguments: tuple[Any, ...], *, anyone: bool = False, students: StudentRange = EVERYONE
) -> int:
    """Count the registered students who do not meet the criteria and whose selection this version has revoked.

    ``anyone``: also count students whose selection was not revoked. Waits for registrations in progress, which may use
    older marks or criteria, and counts them. Later registrations are checked against these criteria. They do not wait
    for the evaluation, because the registration lock is released at once.
    """
    return int(await connection.fetchval(REGISTERED, *arguments, anyone, students.first, students.last))


async def count_only(connection: Connection, drive_id: int, version: int, criteria: Criteria) -> Evaluated:
    """Count the eligible students. Selections do not change."""
    counted = await connection.fetchrow(COUNT_ELIGIBLE, *arguments_of(drive_id, version, criteria))
    assert counted is not None
    selected = set_checksum(await connection.fetchrow(PRESENT, drive_id))
    return Evaluated(counted["count"], selected, SetChecksum(count=0), SetChecksum(count=0), counted["snapshot"])


def arguments_of(drive_id: int, version: int, criteria: Criteria) -> tuple[Any, ...]:
    """Return ``$1`` to ``$8`` of every statement that applies criteria."""
    return (
        drive_id, version, criteria.min_cgpa, criteria.min_10th, criteria.min_12th, criteria.max_backlogs,
        branch_keys(criteria.branches), criteria.batch_years,
    )  # fmt: skip


def set_checksum(row: Any) -> SetChecksum:
    """Return the checksum in a row that was selected with ``CHECKSUM``."""
    return SetChecksum(count=row["count"], digest=row["digest"])
