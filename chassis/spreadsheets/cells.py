"""The SQL that writes each type of cell. Text that the SQL function ``looks_like_formula`` finds is escaped.

Formats are fixed, so two files from one snapshot are identical byte for byte.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from zoneinfo import ZoneInfo


class CellType(Enum):
    """How a value is written. ``SHORT_DAY``: an XLSX file shows it in the date format of the reader's computer."""

    TEXT = auto()
    WHOLE = auto()
    DECIMAL = auto()
    FLAG = auto()
    DAY = auto()
    SHORT_DAY = auto()
    INSTANT = auto()


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``name``: its header. ``expression``: the SQL of its value."""

    name: str
    expression: str
    type: CellType


# A leading apostrophe marks the cell as text, so that no text becomes a formula. Source: OWASP, CSV Injection.
ESCAPE_FORMULA = "CASE WHEN looks_like_formula({text}) THEN '''' || {value} ELSE {value} END"

_CSV_DAY = "to_char({0}, 'YYYY-MM-DD')"
AS_CSV: dict[CellType, str] = {
    CellType.TEXT: ESCAPE_FORMULA.format(text="{0}", value="{0}"),
    CellType.WHOLE: "{0}",
    CellType.DECIMAL: "round({0}, 2)",
    CellType.FLAG: "CASE WHEN {0} THEN 'true' ELSE 'false' END",
    CellType.DAY: _CSV_DAY,
    CellType.SHORT_DAY: _CSV_DAY,
    CellType.INSTANT: """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
}

# Characters that COPY's text format or XML escapes, and characters that XML cannot hold.
_FORBIDDEN = "".join(f"\\x{code:02x}" for code in range(1, 32) if code not in (9, 10, 13)) + r"\ufffe\uffff"
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", r"\\": "&#92;", r"\t": "&#9;", r"\n": "&#10;", r"\r": "&#13;"}


def _xml(text: str) -> str:
    """Return SQL for ``text`` inside an XML element. Most text needs no escaping and costs one comparison."""
    escaped = f"translate({text}, E'{_FORBIDDEN}', '')"
    # Spreadsheets read _x0041_ as A. Source: ECMA-376 part 1, 22.9.2.19 (ST_Xstring).
    escaped = f"regexp_replace({escaped}, '_(?=x[0-9A-Fa-f]{{4}}_)', '_x005F_', 'g')"
    for special, written in _ESCAPES.items():
        escaped = f"replace({escaped}, E'{special}', '{written}')"
    plain = f"translate({text}, E'{''.join(_ESCAPES)}{_FORBIDDEN}', '') = {text} AND strpos({text}, '_x') = 0"
    return f"CASE WHEN {plain} THEN {text} ELSE {escaped} END"


def _xlsx_text(text: str) -> str:
    # looks_like_formula ignores the characters that XML cannot hold, so they cannot hide a formula.
    value = ESCAPE_FORMULA.format(text=text, value=_xml(text))
    return f"coalesce('<c t=\"inlineStr\"><is><t xml:space=\"preserve\">' || {value} || '</t></is></c>', '<c/>')"


def _cell(value: str, style: int = 0) -> str:
    return f"coalesce('<c s=\"{style}\"><v>' || {value} || '</v></c>', '<c/>')"


_SERIAL_DAY = "extract(epoch FROM {0}) / 86400 + 25569"
# Styles: workbook.STYLES. Moments are shown in the campus's time zone, because a cell has no time zone.
AS_XLSX: dict[CellType, str] = {
    CellType.WHOLE: _cell("{0}"),
    CellType.DECIMAL: _cell("round({0}, 2)", 2),
    CellType.FLAG: "CASE WHEN {0} THEN '<c t=\"b\"><v>1</v></c>' ELSE '<c t=\"b\"><v>0</v></c>' END",
    CellType.DAY: _cell(f"round({_SERIAL_DAY})", 3),
    CellType.SHORT_DAY: _cell(f"round({_SERIAL_DAY})", 5),
    CellType.INSTANT: _cell(f"round({_SERIAL_DAY.format('({0} AT TIME ZONE {zone})')}, 8)", 4),
}


def csv_select(columns: Iterable[Column]) -> str:
    """Return a SELECT list with one named text for each column, without FROM."""
    cells = [f'{AS_CSV[column.type].format(column.expression)} AS "{column.name}"' for column in columns]
    return "SELECT " + ",\n       ".join(cells)


def xlsx_select(columns: Iterable[Column], zone: ZoneInfo) -> str:
    """Return a SELECT list with the ``<row>`` of a sheet, without FROM.

    The row is one text without line ends or characters that COPY would escape. Moments are shown in ``zone``.
    """
    cells = [_xlsx_cell(column, zone) for column in columns]
    return "SELECT '<row>' || " + "\n       || ".join(cells) + " || '</row>'"


def _xlsx_cell(column: Column, zone: ZoneInfo) -> str:
    if column.type is CellType.TEXT:
        return _xlsx_text(column.expression)
    name = zone.key.replace("'", "''")
    return AS_XLSX[column.type].format(column.expression, zone=f"'{name}'")
