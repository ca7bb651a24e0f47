"""Rows of a CSV file, as they stand in it."""

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import BinaryIO

from chassis.errors import Invalid
from services.api.students.rows import Rows, Unreadable

DELIMITERS = (",", ";", "\t")
# Longer than the longest cell the csv module reads (its default limit of 131,072), so that it reports the cell, and a
# file that is all one line never stands in memory.
MAX_LINE = 256 * 1024
BLOCK_BYTES = 64 * 1024


def csv_rows(file: BinaryIO) -> Rows:
    """Every row that is not blank, with the number of the line it begins on; the header is the first.

    A row that cannot be read is ``Unreadable``, and the next is tried. Separated by comma, semicolon or tab, whichever
    makes most of the header; UTF-8, with or without a byte order mark. Raises ``Invalid`` for another encoding.
    """
    try:
        yield from _rows(file, _delimiter(file))
    except UnicodeDecodeError as error:
        line = _first_line_not_utf8(file)
        raise Invalid(
            f"Line {line} is not UTF-8 text. Open the file in your spreadsheet and save it as 'CSV UTF-8'.",
            errors=[{"line": line, "reason": "is not UTF-8 text: save as UTF-8"}],
        ) from error


def _rows(file: BinaryIO, delimiter: str) -> Rows:
    text = _text(file)
    try:
        # strict: what follows a closing quote, and a quote that never closes, are told instead of guessed.
        reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
        last = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield last + 1, Unreadable(None, _reason(error))
            else:
                if any(cells):
                    yield last + 1, cells if reader.line_num == last + 1 else [_one_line(cell) for cell in cells]
            last = reader.line_num
    finally:
        text.detach()


def _delimiter(file: BinaryIO) -> str:
    widths = {}
    for delimiter in DELIMITERS:
        with closing(_rows(file, delimiter)) as rows:
            first = next(rows, (0, ()))[1]
        widths[delimiter] = 0 if isinstance(first, Unreadable) else len(first)
    return max(DELIMITERS, key=lambda delimiter: widths[delimiter])


def _text(file: BinaryIO) -> io.TextIOWrapper:
    file.seek(0)
    return io.TextIOWrapper(file, encoding="utf-8-sig", newline="")


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines as they are; of one over ``MAX_LINE``, its beginning."""
    for line in iter(partial(text.readline, MAX_LINE), ""):
        yield line
        if len(line) == MAX_LINE:
            while len(rest := text.readline(MAX_LINE)) == MAX_LINE and not rest.endswith(("\n", "\r")):
                pass


def _one_line(cell: str) -> str:
    return " ".join(cell.split())


def _reason(error: csv.Error) -> str:
    said = str(error)
    if "field limit" in said:
        return "a cell is far too long; perhaps a quote before it is not closed"
    if "unexpected end of data" in said:
        return "a quote is not closed"
    return f"cannot be read: {said}"


def _first_line_not_utf8(file: BinaryIO) -> int:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    for block in iter(partial(file.read, BLOCK_BYTES), b""):
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            return line + error.object[: error.start].count(b"\n")
        line += block.count(b"\n")
    return line
