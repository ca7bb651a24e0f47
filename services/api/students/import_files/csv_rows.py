"""Read the rows of a CSV file."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import BinaryIO

from services.api.students.import_files.rows import WHOLE_ROW, Row, Rows, Table
from services.api.students.import_files.text_encoding import encoding_of, not_utf8

DELIMITERS = (",", ";", "\t", "|")
# Longer than the longest cell that the csv module accepts (131,072), so that the module reports a longer cell. The
# limit also keeps a file that is one long line out of memory.
MAX_LINE = 256 * 1024
LINES_THAT_DECIDE = 20
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t|]*\s*', re.IGNORECASE)


def csv_table(file: BinaryIO) -> Table:
    """Return the rows of ``file`` that are not blank, each with the number of its first line.

    The first line may declare the delimiter (``sep=;``). Otherwise comma, semicolon, tab and bar are tried, and the
    most regular table decides. A row that cannot be read gets a fault, and reading continues with the next row.
    Reading raises ``Invalid`` unless the encoding is UTF-8, or UTF-16 with a byte order mark.
    """
    encoding = encoding_of(file)
    try:
        delimiter, skip = _delimiter(file, encoding)
    except UnicodeError as error:
        raise not_utf8(file) from error
    return Table(_decoded(file, encoding, delimiter, skip), comma_decimals=delimiter in (";", "\t"))


def _decoded(file: BinaryIO, encoding: str, delimiter: str, skip: int) -> Rows:
    try:
        yield from _rows(file, encoding, delimiter, skip)
    except UnicodeError as error:
        raise not_utf8(file) from error


def _delimiter(file: BinaryIO, encoding: str) -> tuple[str, int]:
    """Return the delimiter, and the number of lines to skip because they only declare it."""
    text = _text(file, encoding)
    first = text.readline(MAX_LINE)
    text.detach()
    if match := _SEPARATOR_LINE.fullmatch(first):
        return match[1], 1
    weights = {}
    for delimiter in DELIMITERS:
        with closing(_rows(file, encoding, delimiter, 0)) as rows:
            weights[delimiter] = _weight(Counter(len(row.cells) for row in islice(rows, LINES_THAT_DECIDE)))
    return max(DELIMITERS, key=lambda delimiter: weights[delimiter]), 0


def _weight(widths: Counter[int]) -> int:
    """Return how well a delimiter fits: many rows of the same width count more than one wide row, such as a title."""
    return max(((width - 1) * rows * rows for width, rows in widths.items()), default=0)


class _Lines:
    """The lines of a file, each cut at ``MAX_LINE``. ``last``: the line that was read last."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        read = partial(self._text.readline, MAX_LINE)
        for line in iter(read, ""):
            self.last = line
            yield line
            if len(line) == MAX_LINE and not line.endswith(("\n", "\r")):
                while len(rest := read()) == MAX_LINE and not rest.endswith(("\n", "\r")):
                    pass


def _rows(file: BinaryIO, encoding: str, delimiter: str, skip: int) -> Rows:
    text = _text(file, encoding)
    lines = _Lines(text)
    try:
        # With ``strict``, an unclosed quote is an error. Otherwise the rest of the file would become one cell.
        reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
        last = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                single = reader.line_num == last + 1
                lenient = _with_inner_quotes(lines.last, delimiter) if single else None
                yield Row(last + 1, lenient) if lenient else Row(last + 1, [], {WHOLE_ROW: _reason(error)})
            else:
                if reader.line_num > last + 1:
                    cells = [" ".join(cell.split()) for cell in cells]
                if any(cells) and last >= skip:
                    yield Row(last + 1, cells)
            last = reader.line_num
    finally:
        text.detach()


def _with_inner_quotes(line: str, delimiter: str) -> list[str] | None:
    """Return the cells of a line that has quotes within text, as spreadsheet programs read it."""
    if line.count('"') % 2 or "\0" in line:
        return None
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), None)
    except csv.Error:
        return None


def _text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    file.seek(0)
    return io.TextIOWrapper(file, encoding=encoding, newline="")


def _reason(error: csv.Error) -> str:
    message = str(error)
    if "field limit" in message:
        return "has a cell that is far too long; perhaps a quote before it is not closed: close it"
    if "unexpected end of data" in message or "expected after" in message:
        return "has a quote that is not closed: close it, or remove it"
    return f"cannot be read ({message}): enter it again"
