"""Rows of the first sheet of an XLSX file."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from chassis.errors import Invalid
from services.api.students.rows import Rows

# Sheets are read row by row; everything else stands in memory, several times as large (the shared texts above all).
MAX_IN_MEMORY_BYTES = 48 * 1024 * 1024
MAX_CELL_BYTES = 4 * 1024 * 1024

# What openpyxl and what it stands on raise for files that are not what they claim.
BROKEN = (
    InvalidFileException, zipfile.BadZipFile, zlib.error, ParseError, KeyError, ValueError, TypeError, AttributeError,
    IndexError, EOFError, OSError, NotImplementedError, RuntimeError,
)  # fmt: skip


def xlsx_rows(file: BinaryIO) -> Rows:
    """Every row that is not blank, with its number in the sheet; the header is the first.

    Numbers become text as a person would write them. Rows end at their last filled cell, and have at least as many
    cells as the header. Raises ``Invalid`` for a file that cannot be read.
    """
    with _told_when_broken():
        _refuse_large(file)
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        if not book.worksheets:
            raise Invalid("The XLSX file has no sheet with cells.")
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # some programs write them wrong
        width = 0
        for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
            cells = [_text(value) for value in values]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                width = width or len(cells)
                yield number, cells + [""] * (width - len(cells))


@contextmanager
def _told_when_broken() -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise Invalid("This XLSX file cannot be read. Save it again as .xlsx, or save it as CSV (UTF-8).") from error


def _refuse_large(file: BinaryIO) -> None:
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        sheets = [part for part in archive.infolist() if part.filename.startswith("xl/worksheets/")]
        in_memory = sum(part.file_size for part in archive.infolist()) - sum(part.file_size for part in sheets)
        too_large = in_memory > MAX_IN_MEMORY_BYTES or any(_hides_a_huge_cell(archive, part) for part in sheets)
    file.seek(0)
    if too_large:
        raise Invalid("This XLSX file is too large to read. Save it as CSV (UTF-8) and import that: there is no limit.")


def _hides_a_huge_cell(archive: zipfile.ZipFile, sheet: zipfile.ZipInfo) -> bool:
    """Whether there is more text between two tags than any cell of a student's can need; a cell is read whole."""
    if sheet.file_size <= MAX_CELL_BYTES:
        return False
    since_tag = 0
    with archive.open(sheet) as content:
        while part := content.read(MAX_CELL_BYTES // 4):
            first, last = part.find(b"<"), part.rfind(b"<")
            if first < 0:
                since_tag += len(part)
            elif since_tag + first > MAX_CELL_BYTES:
                return True
            else:
                since_tag = len(part) - last
            if since_tag > MAX_CELL_BYTES:
                return True
    return False


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return " ".join(text.split()) if "\n" in text or "\r" in text else text
