"""Find the header row of a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from chassis.errors import Invalid
from services.api.students.import_files.header_words import words_of
from services.api.students.import_files.meaning import Certainty
from services.api.students.import_files.recognition import meaning_of
from services.api.students.import_files.rows import WHOLE_ROW, ReadOptions, Row
from services.api.students.import_files.staging import headers_of
from services.api.students.import_files.two_line_header import joined_with_next, joined_with_previous
from services.api.students.import_files.vocabulary import REQUIRED

SEARCHED_ROWS = 30
SAMPLE_ROWS = 200


@dataclass(frozen=True, slots=True)
class Header:
    """A header. ``lines``: its line numbers, two for a joined header. ``samples``: first rows below. ``rows``: all."""

    lines: tuple[int, ...]
    headers: list[str]
    samples: list[list[str]]
    rows: Iterator[Row]
    skipped: list[int]


def find_header(rows: Iterator[Row], options: ReadOptions) -> Header | None:
    """Return the header of ``rows``: the line in ``options``, else the first recognised header, else the first row.

    Return ``None`` for a table without rows. Raises ``Invalid`` for a line that does not exist or cannot be read.
    """
    if options.header_row is not None:
        rows, first = _from_line(rows, options.header_row)
    else:
        first = list(islice(rows, SEARCHED_ROWS))
    start = 0
    if options.header_row is None:
        first = first[next((index for index, row in enumerate(first) if _has_text(row)), len(first)) :]
        start = next((index for index, row in enumerate(first) if _is_header(row.cells, options.mapping)), 0)
    if not first or not _has_text(first[start]):
        return None
    header = first[start]
    if header.faults and WHOLE_ROW in header.faults:
        raise Invalid(f"Line {header.line}, the header, cannot be used: it {header.faults[WHOLE_ROW]}.")
    below = list(chain(first[start + 1 :], islice(rows, SAMPLE_ROWS)))
    headers = header.cells
    lines: tuple[int, ...] = (header.line,)
    if below and (joined := joined_with_next(headers, below[0])):
        headers, lines = joined, (header.line, below.pop(0).line)
    elif start and (joined := joined_with_previous(first[start - 1], headers)):
        start -= 1
        headers, lines = joined, (first[start].line, header.line)
    samples = [list(row.cells) for row in below[:SAMPLE_ROWS] if row.cells]
    skipped = [row.line for row in first[:start]]
    return Header(lines, headers_of(headers), samples, chain(below, rows), skipped)


def _from_line(rows: Iterator[Row], line: int) -> tuple[Iterator[Row], list[Row]]:
    for row in rows:
        if row.line == line:
            return rows, [row]
        if row.line > line:
            break
    raise Invalid(f"header_row: line {line} of the file is empty, or after its end.")


def _has_text(row: Row) -> bool:
    return bool(row.faults and WHOLE_ROW in row.faults) or any(cell.strip() for cell in row.cells)


def _is_header(cells: Sequence[str], mapping: Mapping[str, str | None]) -> bool:
    """Return whether ``cells`` name all required columns, or three columns with a required one among them."""
    mapped = {tuple(words_of(header)): column for column, header in mapping.items() if header}
    columns: set[str] = set()
    for cell in cells:
        text = cell.strip()
        if not text or len(text) > 100:
            continue
        if column := mapped.get(tuple(words_of(text))):
            columns.add(column)
            continue
        meaning = meaning_of(text)
        if meaning is not None and (meaning.certainty is not Certainty.WEAK or meaning.column == "roll_number"):
            columns.add("name" if meaning.kind.endswith("_name") else meaning.column)
    required = len(columns.intersection(REQUIRED))
    return required == len(REQUIRED) or (required >= 1 and len(columns) >= 3)


def same_header(first: Header, other: Header) -> bool:
    """Return whether two tables have the same columns in the same order."""
    return [words_of(header) for header in first.headers] == [words_of(header) for header in other.headers]
