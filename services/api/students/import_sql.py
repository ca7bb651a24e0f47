"""Statements of an import: staging, checking, enrolling. Checks: ``import_checks``; updates: ``import_updates``."""

import io
from dataclasses import dataclass
from typing import Any

from chassis.postgres.database import Connection
from contracts.students import StudentEnrolled
from services.api.students import import_updates
from services.api.students.import_checks import ENROLLED, VALIDATE, WHOLE_NUMBERS, ImportMode
from services.api.students.import_files.vocabulary import COLUMNS

# The table is temporary, so that concurrent imports do not see each other's rows and a crash leaves nothing behind.
DROP = "DROP TABLE IF EXISTS pg_temp.import_row"
CREATE = f"""
CREATE TEMPORARY TABLE import_row (
    line integer NOT NULL, fault_column text, fault text, {", ".join(f"{column} text" for column in COLUMNS)}
)
"""
# An import processes its rows in the order of the file, some thousands at a time.
INDEX = "CREATE UNIQUE INDEX import_row_line ON import_row (line)"
# Statistics for the joins and the search for duplicates.
ANALYZE = "ANALYZE import_row (line, roll_number, email)"

# The statements process all rows at once, so they need no time limit and enough memory for the hash tables.
NO_TIME_LIMITS = """
SELECT set_config('transaction_timeout', '0', true), set_config('work_mem', '64MB', true),
       set_config('jit', 'off', true)
"""

# The streams are new, so no other transaction holds them. So ``tx`` is the transaction's own id, as in es.append.
# $3: metadata. The statement fills the read tables from the rows and not from the events, which is a quarter faster
# than project_student. `placewire verify` compares the two.
ENROL = f"""
WITH new_row AS MATERIALIZED (
    SELECT nextval('user_id_seq')::integer AS student_id, clock_timestamp() AS recorded_at, r.*
      FROM (SELECT * FROM import_row WHERE line > $1 ORDER BY line LIMIT $2) r
), heads AS (
    INSERT INTO es.stream (stream_id, stream_type, version, last_tx)
    SELECT 'student-' || student_id, 'student', 1, (SELECT es.log_xid()) FROM new_row
), written AS (
    INSERT INTO es.event (tx, xid, stream_id, version, event_id, type, data, metadata, recorded_at)
    SELECT (SELECT es.log_xid()), (SELECT es.log_xid()), 'student-' || student_id, 1, uuidv7(),
           '{StudentEnrolled.TYPE}', {ENROLLED}, $3::jsonb, recorded_at
      FROM new_row ORDER BY line
), people AS (
    INSERT INTO vault.person (person_id, version, name, email, roll_number, recorded_at)
    SELECT student_id, 1, name, email, roll_number, recorded_at FROM new_row
), new_users AS (
    INSERT INTO users (user_id, name, email, role, department, person_version, access_changed_at, created_at)
    SELECT student_id, name, email, 'STUDENT', department, 1, recorded_at, recorded_at FROM new_row
), new_students AS (
    INSERT INTO students (student_id, roll_number, branch, batch_year, tenth_percent, twelfth_percent, diploma_percent,
                          cgpa, active_backlogs)
    SELECT student_id, roll_number, branch, {WHOLE_NUMBERS["batch_year"]}, tenth_percent::numeric,
           twelfth_percent::numeric, diploma_percent::numeric, cgpa::numeric, {WHOLE_NUMBERS["active_backlogs"]}
      FROM new_row
)
SELECT count(*) AS count, max(line) AS line, bit_xor(hashint8extended(student_id, 0)) AS digest,
       min(student_id) AS first_id, max(student_id) AS last_id
  FROM new_row
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """``errors`` and ``changes``: the first ones, by line. ``changed`` and ``unchanged`` count no row with an error."""

    mode: ImportMode
    rows: int
    wrong_rows: int
    error_count: int
    errors: list[dict[str, Any]]
    changed: int
    unchanged: int
    changes: list[dict[str, Any]]

    @property
    def new(self) -> int:
        """Return the number of valid rows about students who are not on record."""
        return self.rows - self.wrong_rows - self.changed - self.unchanged


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A batch of enrolled students. ``line``: the last line of the batch.

    Ids between ``first_id`` and ``last_id`` may also belong to students whom other requests enrolled.
    """

    count: int
    line: int
    digest: int
    first_id: int
    last_id: int


async def create_staging(connection: Connection) -> None:
    await drop_staging(connection)
    await connection.execute(CREATE)
    await connection.execute(import_updates.CREATE)


async def drop_staging(connection: Connection) -> None:
    await connection.execute(DROP)
    await connection.execute(import_updates.DROP)


async def copy(connection: Connection, chunk: bytes) -> None:
    """Copy one chunk in one short statement, so that no transaction waits for the file."""
    await connection.copy_to_table("import_row", source=io.BytesIO(chunk), schema_name="pg_temp", format="csv")


async def finish_staging(connection: Connection) -> None:
    await connection.execute(INDEX)
    await connection.execute(ANALYZE)


async def validate_rows(connection: Connection, mode: ImportMode, *, listed: int, shown: int) -> ValidationReport:
    """Return the errors and changes of the staged rows: at most ``listed`` errors and ``shown`` changes.

    All statements read one snapshot, so that no record changes between them.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await remove_time_limits(connection)
        await import_updates.match(connection)
        if mode is ImportMode.UPSERT:
            await import_updates.compare(connection)
        row = await connection.fetchrow(VALIDATE[mode], listed, shown)
    assert row is not None
    return ValidationReport(mode=mode, **row)


async def remove_time_limits(connection: Connection) -> None:
    """Remove the time limits of the open transaction."""
    await connection.execute(NO_TIME_LIMITS)


async def enrol(connection: Connection, *, after_line: int, limit: int, metadata: str) -> Enrolled | None:
    """Enrol the next ``limit`` rows: streams, events, vault and read tables. ``None`` when there are no more."""
    row = await connection.fetchrow(ENROL, after_line, limit, metadata)
    assert row is not None
    if not row["count"]:
        return None
    return Enrolled(row["count"], row["line"], row["digest"], row["first_id"], row["last_id"])
