"""Statements of the exporter. One COPY writes a whole file.

Formats and order are fixed, so that two files from one snapshot are equal byte for byte. Plans (EXPLAIN, 1,000,000
registrations of one drive): hash joins with ``users`` and ``students``, and one sort by the primary key. These are left
joins, so the planner omits a join when no column needs it.
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

# No time limits for reading and waiting. The transaction gets no transaction id, so readers of the log do not wait.
NO_TIME_LIMITS = """
SET LOCAL transaction_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = 0
"""
SNAPSHOT = "SELECT es.log_snapshot()::text AS snapshot, pg_backend_pid() AS pid"
# The erasures that the snapshot sees. Rows of this table are never deleted.
ERASURES = "SELECT count(*) FROM vault.erasure"
# The current number of erasures. No other erasure commits until the transaction ends.
SHARE_ERASURES = "SELECT vault.lock_erasures_shared()"
# Whether an erasure concerns the file. The same function decides which existing files an erasure withdraws.
SHOWS_PEOPLE = "SELECT vault.shows_people($1, $2)"
# The server counts the copied rows, because the client would have to parse CSV to count them.
ROWS_COPIED = "SELECT tuples_processed FROM pg_stat_progress_copy WHERE pid = $1"
# Waits for a transaction of a worker that lost its connection during the commit.
PATH = "SELECT path FROM exports WHERE export_id = $1 FOR SHARE"

# Files of a finished drive show the marks at the moment it finished.
IS_FINISHED = "SELECT EXISTS (SELECT FROM finished_drives WHERE drive_id = $1)"

# Students with their current marks.
STUDENTS = "LEFT JOIN students s ON s.student_id = {student}"
ALL_STUDENTS = "students"
# Students with the marks that they had when the drive finished, from the log: one probe of event_stream_version for
# each student. Roll numbers of that time are read only when the file has such a column.
_RECORD_AT_FINISH = """(
       SELECT m.*, (SELECT n.roll_number FROM vault.roll_number_at({student}, f.finished_date) n) AS roll_number
         FROM finished_drives f
        CROSS JOIN LATERAL (
              SELECT e.data -> 'record' AS record FROM es.event e
               WHERE e.stream_id = 'student-' || {student} AND e.data ? 'record' AND e.recorded_at <= f.finished_date
               ORDER BY e.version DESC LIMIT 1) e
        CROSS JOIN LATERAL jsonb_to_record(e.record) AS m(branch text, batch_year integer, tenth_percent numeric,
              twelfth_percent numeric, diploma_percent numeric, cgpa numeric, active_backlogs integer)
        WHERE f.drive_id = {drive_id})"""
STUDENTS_AT_FINISH = f"""
LEFT JOIN LATERAL (SELECT {{student}} AS student_id, record.* FROM {_RECORD_AT_FINISH} record) s ON true"""  # noqa: S608
_OF_EACH = _RECORD_AT_FINISH.replace("{student}", "student.student_id")
_WAS_ACTIVE = f"""coalesce((
       SELECT e.type = '{AccountReactivated.TYPE}' FROM es.event e
        WHERE e.stream_id = 'user-' || student.student_id
          AND e.type IN ('{AccountDeactivated.TYPE}', '{AccountReactivated.TYPE}')
          AND e.recorded_at <= (SELECT f.finished_date FROM finished_drives f WHERE f.drive_id = {{drive_id}})
        ORDER BY e.version DESC LIMIT 1), true) AS active"""  # noqa: S608
# OFFSET 0 makes Postgres compute the key once. Otherwise it does not inline meets_criteria.
ALL_STUDENTS_AT_FINISH = f"""(
       SELECT student.student_id, {_WAS_ACTIVE}, key_of.branch_key, record.*
         FROM students student CROSS JOIN LATERAL {_OF_EACH} record
        CROSS JOIN LATERAL (SELECT branch_key(record.branch) AS branch_key OFFSET 0) key_of)"""  # noqa: S608

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


def source_of(request: ExportRequested, *, finished: bool = False) -> str:
    """Return the SQL after the SELECT list. ``finished``: use the marks that students had when the drive finished."""
    source = FROM[request.kind].replace("{all students}", ALL_STUDENTS_AT_FINISH if finished else ALL_STUDENTS)
    for student in ("r.student_id", "a.student_id"):
        students = (STUDENTS_AT_FINISH if finished else STUDENTS).replace("{student}", student)
        source = source.replace(f"{{students of {student}}}", students)
    return with_drive(source, request)


def columns_of(request: ExportRequested) -> list[Column]:
    """Return the file's columns in the requested order."""
    requested = columns(request.kind, request.columns)
    return [replace(column, expression=with_drive(column.expression, request)) for column in requested]


def with_drive(sql: str, request: ExportRequested) -> str:
    # COPY accepts no parameters. An integer is safe to format.
    return sql.replace("{drive_id}", "NULL" if request.drive_id is None else str(int(request.drive_id)))


def csv_query(request: ExportRequested) -> str:
    """Return the query whose result ``write_csv`` copies into a CSV file."""
    return csv_select(columns_of(request)) + source_of(request)


async def begin(connection: Connection) -> tuple[str, int]:
    """Begin to read in a new repeatable-read transaction. Return its snapshot and the pid of its server process."""
    await connection.execute(NO_TIME_LIMITS)
    row = await connection.fetchrow(SNAPSHOT)
    assert row is not None
    return row["snapshot"], row["pid"]


async def is_finished(connection: Connection, request: ExportRequested) -> bool:
    """Return whether the request is for one drive and this drive is finished."""
    return request.drive_id is not None and bool(await connection.fetchval(IS_FINISHED, request.drive_id))


async def erasures(connection: Connection) -> int:
    """Return how many erasures of people the snapshot can see."""
    return int(await connection.fetchval(ERASURES))


async def shows_people(connection: Connection, request: ExportRequested | InvitationsRequested) -> bool:
    """Return whether the file shows names, e-mail addresses, roll numbers or links."""
    columns = [] if isinstance(request, InvitationsRequested) else request.columns
    return bool(await connection.fetchval(SHOWS_PEOPLE, decider.kind_of(request), columns))


async def share_erasures(connection: Connection) -> int:
    """Return the number of erasures of people, and block further erasures until the transaction ends."""
    return int(await connection.fetchval(SHARE_ERASURES))


async def rows_copied(connection: Connection, *, pid: int) -> dict[str, Any] | None:
    """Return the progress of the COPY that the server process ``pid`` runs; ``None`` when it runs no COPY."""
    rows = await connection.fetchval(ROWS_COPIED, pid)
    return None if rows is None else {"rows": rows}


async def recorded_path(connection: Connection, export_id: UUID) -> str | None:
    """Return the path of the recorded file. Raises ``Contended`` when another transaction locks the row for long."""
    path: str | None = await connection.fetchval(PATH, export_id)
    return path
