"""Finished drives as an Excel sheet."""

from collections.abc import Iterable, Iterator
from datetime import UTC
from io import BytesIO
from typing import Any

import asyncpg
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Excel's own "short date": shown as the reader's computer writes days. Source: ECMA-376 part 1, 18.8.30, numFmtId 14.
SHORT_DATE = "mm-dd-yy"

COLUMNS = (
    ("Drive ID", 10),
    ("Company Name", 30),
    ("Job Title", 30),
    ("Interview Date", 20),
    ("Finished Date", 20),
    ("Total Registered", 15),
    ("Total Present", 12),
    ("Total Absent", 12),
    ("Domain", 20),
)


def finished_xlsx(rows: Iterable[asyncpg.Record]) -> bytes:
    """A workbook with one sheet; no rows, then its header only. Takes a moment: call it in a thread."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Finished Drives")
    for index, (_, width) in enumerate(COLUMNS, start=1):
        sheet.column_dimensions[get_column_letter(index)].width = width
    sheet.append([_bold(sheet, title) for title, _ in COLUMNS])
    for row in rows:
        sheet.append(list(_cells(sheet, row)))
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def _cells(sheet: Any, row: asyncpg.Record) -> Iterator[Any]:
    yield row["drive_id"]
    yield _text(sheet, row["company_name"])
    yield _text(sheet, row["job_title"])
    yield _day(sheet, row["interview_date"])
    yield _day(sheet, row["finished_date"].astimezone(UTC).date())
    yield row["total_registered"]
    yield row["total_present"]
    yield row["total_absent"]
    yield _text(sheet, row["domain_name"] or "")


def _text(sheet: Any, value: str) -> Any:
    """Text whatever it begins with: openpyxl would make a formula of what begins with an equals sign."""
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value))
    cell.data_type = "s"
    return cell


def _day(sheet: Any, value: Any) -> Any:
    cell = WriteOnlyCell(sheet, value)
    cell.number_format = SHORT_DATE
    return cell


def _bold(sheet: Any, value: str) -> Any:
    cell = WriteOnlyCell(sheet, value)
    cell.font = Font(bold=True)
    return cell
