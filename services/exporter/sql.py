"""Statements of the exporter. One COPY writes a whole file.

Formats and order are fixed, so that two files from one snapshot are equal byte for byte. Plans (EXPLAIN, 1,000,000
registrations of one drive): hash joins on ``users`` and ``students``, and one sort by the primary key. They are left
joins, so the planner omits them when no column needs them.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

from chassis.postgres.database import Connection
from chassis.spreadsheets.cells import Column, csv_select
from contracts.exports import ExportKind, ExportRequested, InvitationsRequested
from contracts.users import AccountDeactivated, AccountReactivated
from services.exporter import decider
from services.exporter.columns import columns

# No time limits for reading and waiting. The transaction draws no transaction id, so readers of the log do not wait.
UNHURRIED = """
SET LOCAL transaction_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = 0
"""
SNAPSHOT = "SELECT es.log_snapshot()::text AS snapshot, pg_backend_pid() AS pid"
# Erasures that the snapshot sees. They are never deleted.
ERASURES = "SELECT count(*) FROM vault.erasure"
# The current number of erasures. No other erasure commits until the transaction ends.
SHARE_ERASURES = "SELECT vault.lock_erasures_shared()"
# Whether an erasure concerns the file: the same definition decides which files it withdraws.
SHOWS_PEOPLE = "SELECT vault.shows_people($1, $2)"
# The server counts the copied rows. The client would have to find line ends outside quotes.
ROWS_COPIED = "SELECT tuples_processed FROM pg_stat_progress_copy WHERE pid = $1"
# Waits for a commit in progress. Its worker may have lost the connection before it received the result.
PATH = "SELECT path FROM exports WHERE export_id = $1 FOR SHARE"

# Files of a finished drive show the marks at the moment it finished.
IS_FINISHED = "SELECT EXISTS (SELECT FROM finished_drives WHERE drive_id = $1)"

# Students with their current marks.
STUDENTS = "LEFT JOIN students s ON s.student_id = {student}"
ALL_STUDENTS = "students"
# Students with their marks from the log when the drive finished: one probe of event_stream_version each. Their roll
# numbers of that moment are looked up only when the file has such a column.
_RECORD_THEN = """(
       SELECT m.*, (SELECT n.roll_number FROM vault.roll_number_at({student}, f.finished_date) n) AS roll_number
         FROM finished_drives f
        CROSS JOIN LATERAL (
              SELECT e.data -> 'record' AS record FROM es.event e
               WHERE e.stream_id = 'student-' || {student} AND e.data ? 'record' AND e.recorded_at <= f.finished_date
               ORDER BY e.version DESC LIMIT 1) e
        CROSS JOIN LATERAL jsonb_to_record(e.record) AS m(branch text, batch_year integer, tenth_percent numeric,
              twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
        WHERE f.drive_id = {drive_id})"""
STUDENTS_THEN = f"LEFT JOIN LATERAL (SELECT {{student}} AS student_id, found.* FROM {_RECORD_THEN} found) s ON true"  # noqa: S608
_OF_EACH = _RECORD_THEN.replace("{student}", "one.student_id")
_WAS_ACTIVE = f"""coalesce((
       SELECT e.type = '{AccountReactivated.TYPE}' FROM es.event e
        WHERE e.stream_id = 'user-' || one.student_id
          AND e.type IN ('{AccountDeactivated.TYPE}', '{AccountReactivated.TYPE}')
          AND e.recorded_at <= (SELECT f.finished_date FROM finished_drives f WHERE f.drive_id = {{drive_id}})
        ORDER BY e.version DESC LIMIT 1), true) AS active"""  # noqa: S608
# The key is computed once (OFFSET 0), else meets_criteria is not inlined.
ALL_STUDENTS_THEN = f"""(
       SELECT one.student_id, {_WAS_ACTIVE}, key_of.branch_key, found.*
         FROM students one CROSS JOIN LATERAL {_OF_EACH} found
        CROSS JOIN LATERAL (SELECT branch_key(found.branch) AS branch_key OFFSET 0) key_of)"""  # noqa: S608

FROM: dict[ExportKind, str] = {
    ExportKind.REGISTRATIONS: """
  FROM registrations r
  LEFT JOIN users u ON u.user_id = r.student_id
  {students of r.student_id}
  LEFT JOIN drives d ON d.drive_id = r.drive_id
 WHERE r.drive_id = {drive_id} ORDER BY r.registration_id""",
    ExportKind.ELIGIBLE_STUDENTS: """
  FROM drives d
  JOIN {all students} s
    ON s.active
   AND meets_criteria(ROW(s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs,
                          s.branch_key, s.batch_year)::marks, criteria_of(d))
  LEFT JOIN users u ON u.user_id = s.student_id
 WHERE d.drive_id = {drive_id} ORDER BY s.student_id""",
    ExportKind.ATTENDANCE: """
  FROM attendance a
  LEFT JOIN users u ON u.user_id = a.student_id
  {students of a.student_id}
  LEFT JOIN drives d ON d.drive_id = a.drive_id
 WHERE a.drive_id = {drive_id} ORDER BY a.attendance_id""",
    ExportKind.FINISHED_DRIVES: """
  FROM finished_drives f LEFT JOIN job_domains j USING (domain_id)
 ORDER BY f.finished_date DESC, f.drive_id DESC""",
}


def source_of(asked: ExportRequested, *, finished: bool = False) -> str:
    """Return the SQL after the SELECT list. ``finished``: with the marks at the moment the drive finished."""
    source = FROM[asked.kind].replace("{all students}", ALL_STUDENTS_THEN if finished else ALL_STUDENTS)
    for student in ("r.student_id", "a.student_id"):
        students = (STUDENTS_THEN if finished else STUDENTS).replace("{student}", student)
        source = source.replace(f"{{students of {student}}}", students)
    return with_drive(source, asked)


def columns_of(asked: ExportRequested) -> list[Column]:
    """Return the file's columns in the requested order."""
    found = columns(asked.kind, asked.columns)
    return [replace(column, expression=with_drive(column.expression, asked)) for column in found]


def with_drive(sql: str, asked: ExportRequested) -> str:
    # COPY accepts no parameters. An integer is safe to format.
    return sql.replace("{drive_id}", "NULL" if asked.drive_id is None else str(int(asked.drive_id)))


def csv_query(asked: ExportRequested) -> str:
    """Return the statement of a CSV file, as ``write_csv`` copies it."""
    return csv_select(columns_of(asked)) + source_of(asked)


async def begin(connection: Connection) -> tuple[str, int]:
    """Return the snapshot of a new repeatable-read transaction, and the pid of the server process that copies."""
    await connection.execute(UNHURRIED)
    row = await connection.fetchrow(SNAPSHOT)
    assert row is not None
    return row["snapshot"], row["pid"]


async def is_finished(connection: Connection, asked: ExportRequested) -> bool:
    """Return whether the file is about one drive and the drive is finished."""
    return asked.drive_id is not None and bool(await connection.fetchval(IS_FINISHED, asked.drive_id))


async def erasures(connection: Connection) -> int:
    """Return the number of erased people that the snapshot can see."""
    return int(await connection.fetchval(ERASURES))


async def shows_people(connection: Connection, asked: ExportRequested | InvitationsRequested) -> bool:
    """Return whether the file shows names, e-mail addresses, roll numbers or links."""
    columns = [] if isinstance(asked, InvitationsRequested) else asked.columns
    return bool(await connection.fetchval(SHOWS_PEOPLE, decider.kind_of(asked), columns))


async def share_erasures(connection: Connection) -> int:
    """Return the number of erased people. It stays the same until the transaction ends."""
    return int(await connection.fetchval(SHARE_ERASURES))


async def rows_copied(connection: Connection, *, pid: int) -> dict[str, Any] | None:
    """Return the progress of the COPY of the server process ``pid``; ``None`` when it runs none."""
    rows = await connection.fetchval(ROWS_COPIED, pid)
    return None if rows is None else {"rows": rows}


async def recorded_path(connection: Connection, export_id: UUID) -> str | None:
    """Return the recorded file. Raises ``Contended`` when another transaction holds the export for too long."""
    path: str | None = await connection.fetchval(PATH, export_id)
    return path
