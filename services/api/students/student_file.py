"""A file of students, whatever its format, as bytes for COPY into ``import_row``. Runs in a thread, without waiting."""

import csv
import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from chassis.errors import Invalid
from services.api.students.columns import COLUMNS, Layout, layout_of
from services.api.students.csv_file import csv_rows
from services.api.students.import_checks import ImportMode
from services.api.students.rows import Row, Rows, Unreadable
from services.api.students.xlsx_file import xlsx_rows

CHUNK_ROWS = 2_000
MAX_CELL = 1_000
NO_CELLS = ("",) * len(COLUMNS)

ZIP = b"PK\x03\x04"
OLD_EXCEL = b"\xd0\xcf\x11\xe0"
PDF = b"%PDF-"


@dataclass(frozen=True, slots=True)
class StudentFile:
    """``mapping``: our column to their header. ``mode``: what is done with students who are known already."""

    content: BinaryIO
    name: str
    mapping: Mapping[str, str]
    mode: ImportMode = ImportMode.INSERT


def copy_chunks(file: StudentFile) -> Generator[bytes, None, None]:
    """The rows under the header in COPY's CSV format: line, wrong column, what is wrong, then ``COLUMNS``.

    Trimmed; an empty cell is null. Raises ``Invalid`` when the file as a whole cannot be used.
    """
    with closing(_rows(file)) as rows:
        line, header = next(rows, (0, ()))
        if isinstance(header, Unreadable):
            raise Invalid(f"Line {line}, the header, cannot be used: {header.reason}.")
        if not header:
            raise Invalid("The file is empty.")
        headers = [name.strip() for name in header]
        encoded = _encoded(rows, layout_of(headers, file.mapping), len(headers))
        chunk = next(encoded, None)
        if chunk is None:
            raise Invalid("The file has a header and no rows under it.")
        yield chunk
        yield from encoded


def _rows(file: StudentFile) -> Rows:
    file.content.seek(0)
    start = file.content.read(8)
    if start.startswith(ZIP):
        return xlsx_rows(file.content)
    if start.startswith(OLD_EXCEL):
        raise Invalid("This is a file of an old Excel (.xls). Save it as .xlsx, or as CSV (UTF-8).")
    if start.startswith(PDF) or file.name.lower().endswith((".xlsx", ".xlsm", ".ods", ".pdf")):
        raise Invalid("The file is neither CSV nor XLSX. Save it as one of them.")
    return csv_rows(file.content)


def _encoded(rows: Iterator[Row], layout: Layout, width: int) -> Iterator[bytes]:
    places = [layout.get(column, width) for column in COLUMNS]  # an absent column stands behind the last: empty
    while some := list(islice(rows, CHUNK_ROWS)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(_staged(line, cells, places, width) for line, cells in some)
        yield text.getvalue().encode()


def _staged(line: int, cells: Sequence[str] | Unreadable, places: Sequence[int], width: int) -> tuple[object, ...]:
    if isinstance(cells, Unreadable):
        return _faulty(line, cells)
    if len(cells) != width:
        return _faulty(line, Unreadable(None, f"has {len(cells)} cells; the header has {width}"))
    padded = (*cells, "")
    ours = [padded[place].strip() for place in places]
    joined = "".join(ours)
    if len(joined) > MAX_CELL or "\0" in joined:
        for column, cell in zip(COLUMNS, ours, strict=True):
            if len(cell) > MAX_CELL:
                return _faulty(line, Unreadable(column, f"is longer than {MAX_CELL:,} characters"))
            if "\0" in cell:
                return _faulty(line, Unreadable(column, "has a NUL byte in it"))
    return (line, "", "", *ours)


def _faulty(line: int, fault: Unreadable) -> tuple[object, ...]:
    return (line, fault.column, fault.reason, *NO_CELLS)
