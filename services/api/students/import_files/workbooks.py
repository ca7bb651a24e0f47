"""Read sheets of XLSX, ODS and XLS files with calamine. Read what calamine leaves out from the parts of the file."""

import datetime
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, TypeAlias

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum
from xlrd.biffh import XLRDError
from xlrd.compdoc import CompDocError

from chassis.errors import Invalid
from services.api.students.import_files.file_kind import AS_TABLE, FileKind
from services.api.students.import_files.limits import MAX_CELLS, MAX_ROWS, too_many_cells, too_many_rows
from services.api.students.import_files.number_formats import Unshowable, general, shown
from services.api.students.import_files.ods_details import OdsDetails
from services.api.students.import_files.rows import Row, Rows, Table, Tables
from services.api.students.import_files.sheet_details import SheetDetails
from services.api.students.import_files.visible_cells import HiddenCells, MergedCells
from services.api.students.import_files.xls_details import XlsDetails
from services.api.students.import_files.xlsx_details import XlsxDetails

# Exceptions of the readers for damaged files.
BROKEN = (
    CalamineError, zipfile.BadZipFile, zlib.error, XLRDError, CompDocError, KeyError, ValueError,
    IndexError, OSError, EOFError, AssertionError, struct.error, NotImplementedError,
)  # fmt: skip
Details: TypeAlias = XlsxDetails | OdsDetails | XlsDetails
Value: TypeAlias = Any  # of calamine: str, float, bool, date, time, datetime or timedelta


def workbook_tables(file: BinaryIO, kind: FileKind, sheet: str | None) -> Tables:
    """Return the sheets to read: ``sheet``, else every visible one. Empty sheets have no rows.

    Raises ``Invalid`` when the file cannot be read or lacks ``sheet``.
    """
    try:
        details = _details(file, kind)
        file.seek(0)
        workbook = CalamineWorkbook.from_filelike(file)
    except PasswordError as error:
        raise Invalid(
            "The file is protected by a password. Open it in your spreadsheet, remove the password, save it, and "
            "import it again."
        ) from error
    except BROKEN as error:
        raise _broken() from error
    names, notes = _choose_sheets(workbook, sheet)
    tables = [Table(_sheet_rows(workbook, name, details, notes), sheet=name) for name in names]
    return Tables(tables, notes)


def _broken() -> Invalid:
    return Invalid(f"This workbook cannot be read; it is damaged. Open it in your spreadsheet. {AS_TABLE}")


def _details(file: BinaryIO, kind: FileKind) -> Details:
    if kind is FileKind.XLSX:
        return XlsxDetails(zipfile.ZipFile(file))
    return OdsDetails(zipfile.ZipFile(file)) if kind is FileKind.ODS else XlsDetails(file)


def _choose_sheets(workbook: CalamineWorkbook, sheet: str | None) -> tuple[list[str], list[str]]:
    worksheets = [metadata for metadata in workbook.sheets_metadata if metadata.typ is SheetTypeEnum.WorkSheet]
    visible = [metadata.name for metadata in worksheets if metadata.visible is SheetVisibleEnum.Visible]
    if sheet is not None:
        wanted = sheet.strip().casefold()
        names = [metadata.name for metadata in worksheets if metadata.name.strip().casefold() == wanted]
        if not names and sheet.strip().isdecimal():
            names = visible[int(sheet) - 1 : int(sheet)] if int(sheet) else []
        if not names:
            raise Invalid(
                f"sheet: the file has no sheet {sheet!r}. Its sheets are: {', '.join(map(repr, visible))}. Send a "
                "name, or the number of a visible sheet, from 1."
            )
        left_out = [name for name in visible if name not in names]
        return names[:1], [f"The sheet {name!r} was not read: you named another." for name in left_out]
    if not visible:
        raise Invalid("The workbook has no visible sheet. Unhide the sheet of students, or name it with sheet.")
    hidden = [metadata.name for metadata in worksheets if metadata.name not in visible]
    return visible, [f"The hidden sheet {name!r} was left out; name it with sheet to read it." for name in hidden]


def _sheet_rows(workbook: CalamineWorkbook, name: str, details: Details, notes: list[str]) -> Rows:
    """Yield the rows that a user sees. When the generator ends, it adds sentences about hidden cells to ``notes``."""
    try:
        sheet_details = details.of_sheet(name)
        sheet = workbook.get_sheet_by_name(name)
        merged = MergedCells(sheet.merged_cell_ranges or sheet_details.merged)
    except BROKEN as error:
        raise _broken() from error
    if sheet.start is None or sheet.end is None:
        # calamine sees no cells. The sheet may still have errors and formulas without a value.
        empty: list[list[Value]] = [[] for _ in range(max(sheet_details.faults, default=-1) + 1)]
        top, left, rows = 0, 0, iter(empty)
    else:
        top, left = sheet.start
        if sheet.end[0] >= MAX_ROWS:
            raise too_many_rows(sheet.end[0] + 1)
        if sheet.height * sheet.width > MAX_CELLS:
            raise too_many_cells()
        rows = iter(sheet.to_python(skip_empty_area=True))
    last = top - 1
    hidden = HiddenCells(sheet_details)
    try:
        for last, values in enumerate(rows, start=top):
            row = None if hidden.hides_row(last, values) else _row(last, left, values, sheet_details, hidden)
            if row is not None:
                merged.fill(last, row.cells)
                yield row
        for index in sorted(number for number in sheet_details.faults if number > last):
            if not hidden.hides_row(index, ()):
                yield _row(index, left, [], sheet_details, hidden) or Row(index + 1, [])
    finally:
        notes += hidden.notes(name)


def _row(index: int, left: int, values: Sequence[Value], details: SheetDetails, hidden: HiddenCells) -> Row | None:
    formats, texts = details.formats.get(index), details.texts.get(index)
    row_faults = details.faults.get(index)
    if not any(value != "" for value in values) and not row_faults:
        return None
    cells = [""] * left
    faults = dict(row_faults) if row_faults else {}
    for column, value in enumerate(values, start=left):
        if details.hidden_columns and hidden.hides_column(column, value):
            cells.append("")
            faults.pop(column, None)
            continue
        code = formats.get(column) if formats else None
        try:
            cells.append(texts[column] if texts and column in texts else _text(value, code))
        except Unshowable as error:
            cells.append("")
            faults.setdefault(column, str(error))
    if faults:
        cells += [""] * (max(faults) + 1 - len(cells))
    return Row(index + 1, cells, faults or None)


def _text(value: Value, code: str | None) -> str:
    show = _SHOW.get(type(value))
    return show(value, code) if show else str(value)


def _string(value: str, code: str | None) -> str:
    return " ".join(value.split()) if "\n" in value or "\r" in value else value


def _number(value: float, code: str | None) -> str:
    return general(float(value)) if code is None else shown(float(value), code)


def _boolean(value: bool, code: str | None) -> str:
    raise Unshowable(
        f"holds the truth value {str(value).upper()}: format the cell as text and enter what it should say"
    )


def _moment(value: object, code: str | None) -> str:
    kind = "a time" if isinstance(value, datetime.time | datetime.timedelta) else "a date"
    raise Unshowable(f"holds {kind} ({value}): format the cell as text and enter what it should say")


_SHOW: Mapping[type, Callable[[Any, str | None], str]] = {
    str: _string, float: _number, int: _number, bool: _boolean, datetime.date: _moment, datetime.datetime: _moment,
    datetime.time: _moment, datetime.timedelta: _moment,
}  # fmt: skip
