"""Read a file into frames: a report on its columns, chunks of rows, and warnings."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from chassis.errors import Invalid
from services.api.students.import_files.column_report import ColumnReport, Layout
from services.api.students.import_files.csv_rows import csv_table
from services.api.students.import_files.file_kind import FileKind, kind_of
from services.api.students.import_files.header_row import Header, find_header, same_header
from services.api.students.import_files.layout import layout_of
from services.api.students.import_files.rows import LINES_PER_SHEET, ReadOptions, Row, Rows, Tables
from services.api.students.import_files.staging import Staging


@dataclass(frozen=True, slots=True)
class Opening:
    """The first frame. ``sheets``: the sheets that are read, in order."""

    columns: list[ColumnReport]
    sheets: list[str]


@dataclass(frozen=True, slots=True)
class Chunk:
    content: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    warnings: list[str]


Frame: TypeAlias = Opening | Chunk | Ending


def read_students(file: BinaryIO, name: str, options: ReadOptions) -> Generator[Frame, None, None]:
    """Yield one ``Opening``, all ``Chunk`` frames, and one ``Ending``. Raises ``Invalid`` for an unusable file."""
    tables = _tables(file, name, options)
    header, layout, rows = _arranged(tables, options)
    warnings = list(layout.warnings)
    if len(header.lines) > 1:
        warnings.append(f"The header is lines {' and '.join(map(str, header.lines))}, joined column by column.")
    if header.skipped:
        lines = ", ".join(map(str, header.skipped[:5]))
        warnings.append(f"The header is line {header.lines[0]}; the lines above it were left out (line {lines}).")
    yield Opening(layout.report(), [table.sheet for table in tables.tables if table.sheet])
    staging = Staging(layout, comma_decimals=tables.tables[0].comma_decimals)
    empty = True
    for content in staging.chunks(rows):
        empty = False
        yield Chunk(content)
    if empty:
        raise Invalid(" ".join(["The file has a header and no rows under it.", *tables.notes]))
    yield Ending(tables.notes + warnings + staging.warnings())


def _tables(file: BinaryIO, name: str, options: ReadOptions) -> Tables:
    kind = kind_of(file, name)
    if kind is not FileKind.CSV:
        from services.api.students.import_files.workbooks import workbook_tables

        return workbook_tables(file, kind, options.sheet)
    if options.sheet is not None:
        raise Invalid("sheet: a CSV file has no sheets. Leave it out.")
    return Tables([csv_table(file)], [])


def _arranged(tables: Tables, options: ReadOptions) -> tuple[Header, Layout, Rows]:
    """Return the header, its layout and the rows of every table. Removes empty tables from ``tables``."""
    headed = [(table, header) for table in tables.tables if (header := find_header(table.rows, options)) is not None]
    if not headed:
        raise Invalid("The file is empty.")
    tables.tables = [table for table, _ in headed]
    first = headed[0][1]
    if any(not same_header(first, header) for _, header in headed[1:]):
        names = ", ".join(repr(table.sheet) for table, _ in headed)
        raise Invalid(
            f"The file has {len(headed)} sheets with different headers: {names}. Name one with sheet, or give all the "
            "same header."
        )
    samples = [row for _, header in headed for row in header.samples]
    try:
        layout = layout_of(first.headers, options.mapping, samples, updates=options.updates)
    except Invalid as error:
        for table in tables.tables:
            table.rows.close()
        if tables.notes:
            raise Invalid(" ".join([str(error), *tables.notes]), errors=error.errors) from error
        raise
    return first, layout, _numbered([header for _, header in headed])


def _numbered(headers: list[Header]) -> Rows:
    for index, header in enumerate(headers):
        if not index:
            yield from header.rows
        else:
            offset = index * LINES_PER_SHEET
            for row in header.rows:
                yield Row(row.line + offset, row.cells, row.faults)
