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
        in_memory = sum(part.file_size for part in archive.infolist() if not part.filename.startswith("xl/worksheets/"))
    file.seek(0)
    if in_memory > MAX_IN_MEMORY_BYTES:
        raise Invalid("This XLSX file is too large to read. Save it as CSV (UTF-8) and import that: there is no limit.")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return " ".join(text.split()) if "\n" in text or "\r" in text else text
