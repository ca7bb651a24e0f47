"""Every statement the exporter runs: one COPY for a whole file, never one for each row.

Formats and order are fixed, so that two files from one snapshot are the same byte for byte. Plans (EXPLAIN, 1,000,000
registrations of one drive): hash joins on ``users`` and ``students``, which the planner leaves out when no column asks
for them (that is why they are left joins), and one sort by the primary key.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from chassis.database import Connection
from contracts.exports import ExportKind, ExportRequested
from services.exporter.columns import Column, Sort, columns

# Reads, and waits, as long as it takes. No transaction id is drawn, so nobody who reads the log waits for it.
UNHURRIED = """
SET LOCAL transaction_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = 0
"""
SNAPSHOT = "SELECT pg_current_snapshot()::text AS snapshot, pg_backend_pid() AS pid"
# The server counts what it has copied; the reader would have to look for line ends outside quotes.
ROWS_COPIED = "SELECT tuples_processed FROM pg_stat_progress_copy WHERE pid = $1"
# Waits for an effect that is being committed: its worker may have gone from the connection before it heard.
PATH = "SELECT path FROM exports WHERE export_id = $1 FOR SHARE"

FROM: dict[ExportKind, str] = {
    ExportKind.REGISTRATIONS: """
  FROM registrations r
  LEFT JOIN users u ON u.user_id = r.student_id
  LEFT JOIN students s ON s.student_id = r.student_id
  LEFT JOIN drives d ON d.drive_id = r.drive_id
 WHERE r.drive_id = {drive_id} ORDER BY r.registration_id""",
    ExportKind.ELIGIBLE_STUDENTS: """
  FROM drives d
  JOIN students s
    ON meets_criteria(s.cgpa, s.tenth_percent, s.twelfth_percent, s.diploma_percent, s.active_backlogs, s.branch,
                      s.batch_year, d.min_cgpa, d.min_10th, d.min_12th, d.max_backlogs, d.branches, d.batch_years)
  LEFT JOIN users u ON u.user_id = s.student_id
 WHERE d.drive_id = {drive_id} ORDER BY s.student_id""",
    ExportKind.ATTENDANCE: """
  FROM attendance a
  LEFT JOIN users u ON u.user_id = a.student_id
  LEFT JOIN students s ON s.student_id = a.student_id
  LEFT JOIN drives d ON d.drive_id = a.drive_id
 WHERE a.drive_id = {drive_id} ORDER BY a.attendance_id""",
    ExportKind.FINISHED_DRIVES: """
  FROM finished_drives f LEFT JOIN job_domains j USING (domain_id)
 ORDER BY f.finished_date DESC, f.drive_id DESC""",
}

# A spreadsheet takes a cell for a formula when it begins with = + - @ (full-width ones too, in some countries), or with
# tab, line feed or return before them; an apostrophe in front says that it is text. Source: OWASP, CSV Injection.
LOOKS_LIKE_A_FORMULA = "ascii({0}) IN (9, 10, 13, 43, 45, 61, 64, 65291, 65293, 65309, 65312)"
HARMLESS = f"CASE WHEN {LOOKS_LIKE_A_FORMULA} THEN '''' || {{0}} ELSE {{0}} END"

AS_CSV: dict[Sort, str] = {
    Sort.TEXT: HARMLESS,
    Sort.WHOLE: "{0}",
    Sort.DECIMAL: "round({0}, 2)",
    Sort.FLAG: "CASE WHEN {0} THEN 'true' ELSE 'false' END",
    Sort.DAY: "to_char({0}, 'YYYY-MM-DD')",
    Sort.INSTANT: """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
}

# What COPY's text format or XML would write in another way, and what XML cannot hold at all.
_FORBIDDEN = "".join(f"\\x{code:02x}" for code in range(1, 32) if code not in (9, 10, 13)) + r"\ufffe\uffff"
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", r"\\": "&#92;", r"\t": "&#9;", r"\n": "&#10;", r"\r": "&#13;"}


def _xml(text: str) -> str:
    """SQL for ``text`` inside an XML element. Most text needs nothing, and pays for one look only."""
    escaped = f"translate({text}, E'{_FORBIDDEN}', '')"
    # Spreadsheets read _x0041_ as A. Source: ECMA-376 part 1, 22.9.2.19 (ST_Xstring).
    escaped = f"regexp_replace({escaped}, '_(?=x[0-9A-Fa-f]{{4}}_)', '_x005F_', 'g')"
    for special, written in _ESCAPES.items():
        escaped = f"replace({escaped}, E'{special}', '{written}')"
    plain = f"translate({text}, E'{''.join(_ESCAPES)}{_FORBIDDEN}', '') = {text} AND strpos({text}, '_x') = 0"
    return f"CASE WHEN {plain} THEN {text} ELSE {escaped} END"


def _harmless_xml(text: str) -> str:
    """``HARMLESS`` for XML: what is left out of it must not hide a formula behind it."""
    formula = LOOKS_LIKE_A_FORMULA.format(f"ltrim({text}, E'{_FORBIDDEN}')")
    return f"CASE WHEN {formula} THEN '''' ELSE '' END || {_xml(text)}"


def _cell(value: str, style: int = 0) -> str:
    return f"coalesce('<c s=\"{style}\"><v>' || {value} || '</v></c>', '<c/>')"


_SERIAL_DAY = "extract(epoch FROM {0}) / 86400 + 25569"
# Styles: xlsx_file.STYLES.
AS_XLSX: dict[Sort, str] = {
    Sort.TEXT: "coalesce('<c t=\"inlineStr\"><is><t xml:space=\"preserve\">' || {0} || '</t></is></c>', '<c/>')",
    Sort.WHOLE: _cell("{0}"),
    Sort.DECIMAL: _cell("round({0}, 2)", 2),
    Sort.FLAG: "CASE WHEN {0} THEN '<c t=\"b\"><v>1</v></c>' ELSE '<c t=\"b\"><v>0</v></c>' END",
    Sort.DAY: _cell(f"round({_SERIAL_DAY})", 3),
    Sort.INSTANT: _cell(f"round({_SERIAL_DAY}, 8)", 4),
}


def csv_query(asked: ExportRequested) -> str:
    """A row of text cells for each row of the file, under the columns' names."""
    cells = [f'{AS_CSV[column.sort].format(column.expression)} AS "{column.name}"' for column in _columns(asked)]
    return _query(asked, ",\n       ".join(cells))


def xlsx_query(asked: ExportRequested) -> str:
    """One text a row, the ``<row>`` of a sheet: without a line end in it, nor anything that COPY would escape."""
    cells = [_xlsx_cell(column) for column in _columns(asked)]
    return _query(asked, "'<row>' || " + "\n       || ".join(cells) + " || '</row>'")


def _xlsx_cell(column: Column) -> str:
    if column.sort is not Sort.TEXT:
        return AS_XLSX[column.sort].format(column.expression)
    return AS_XLSX[Sort.TEXT].format(_harmless_xml(column.expression))


def _columns(asked: ExportRequested) -> list[Column]:
    return columns(asked.kind, asked.columns)


def _query(asked: ExportRequested, cells: str) -> str:
    # COPY takes no parameters; an integer is what it says.
    drive_id = "NULL" if asked.drive_id is None else str(int(asked.drive_id))
    return f"SELECT {cells}{FROM[asked.kind]}".replace("{drive_id}", drive_id)


async def begin(connection: Connection) -> tuple[str, int]:
    """At the beginning of a repeatable-read transaction: its snapshot, and the server process that copies."""
    await connection.execute(UNHURRIED)
    row = await connection.fetchrow(SNAPSHOT)
    assert row is not None
    return row["snapshot"], row["pid"]


async def copy(connection: Connection, query: str, output: Callable[[bytes], Awaitable[None]], **options: Any) -> int:
    """The rows that COPY wrote to ``output``. What that raises ends the connection too.

    Otherwise the driver waits for what a server that has sent all has yet to say, for ever (asyncpg 0.32, tried).
    """

    refused = False

    async def taken(chunk: bytes) -> None:
        nonlocal refused
        try:
            await output(chunk)
        except BaseException:
            refused = True
            raise

    try:
        status = await connection.copy_from_query(query, output=taken, encoding="utf-8", **options)
    except BaseException:
        if refused:
            connection.terminate()
        raise
    return int(status.rpartition(" ")[2])  # COPY 42


async def rows_copied(connection: Connection, *, pid: int) -> dict[str, Any] | None:
    """How far the COPY of that server process is, as a job's progress; ``None`` when there is none."""
    rows = await connection.fetchval(ROWS_COPIED, pid)
    return None if rows is None else {"rows": rows}


async def recorded_path(connection: Connection, export_id: UUID) -> str | None:
    """The file that everyone knows of. Raises ``Contended`` when it takes too long to become certain."""
    path: str | None = await connection.fetchval(PATH, export_id)
    return path
