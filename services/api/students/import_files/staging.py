"""Encode rows of a file as chunks of CSV for COPY into the staging table."""

import csv
import io
import re
from collections.abc import Callable, Generator, Iterator
from itertools import chain, islice
from operator import itemgetter

from services.api.students.import_files import cells
from services.api.students.import_files.cells import Rounding, Unusable, is_empty_marker
from services.api.students.import_files.column_report import Layout
from services.api.students.import_files.limits import MAX_ROWS, too_many_students
from services.api.students.import_files.plausibility import Plausibility
from services.api.students.import_files.rows import WHOLE_ROW, Row
from services.api.students.import_files.vocabulary import COLUMNS, REQUIRED

CHUNK_ROWS = 5_000
NO_CELLS = ("",) * len(COLUMNS)

# Patterns of rows that need no normalising: no commas, quotes or markers of empty cells. Most rows match.
_LETTERS = r"[A-Za-z0-9.'&/()-]"
_NOTHING = r"(?i:n/a|na|n\.a\.?|nil|none|null|not applicable|not available)(?:,|$)"
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_MOMENT = (
    rf"(?i:true|false|\d{{1,2}}-{_MONTH}|{_MONTH}-\d{{2,4}}|\d{{4}}-\d\d-\d\d|\d\d?[/-]\d\d?[/-]\d{{4}})(?:[ ,-]|$)"
)
_LABEL = rf"(?:(?!{_NOTHING})[A-Za-z]{_LETTERS}*(?: {_LETTERS}+)*)?"
_MARK = r"(?:\d{1,2}(?:\.\d{1,2})?)?"
# Percentages up to 10 do not match, because they are counted.
_PERCENT = r"(?:(?!10(?:\.0+)?(?:,|$))[1-9]\d{1,2}(?:\.\d{1,2})?)?"
_WHOLE = r"(?:\d{1,4})?"
_CLEAN = {
    "name": rf"[A-Za-z]{_LETTERS}*(?: {_LETTERS}+)*",
    "email": r"[A-Za-z0-9_%+-]+(?:\.[A-Za-z0-9_%+-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*",
    "roll_number": rf"(?!{_NOTHING})(?!{_MOMENT})[A-Za-z0-9][A-Za-z0-9/_-]*",
    "branch": _LABEL, "department": _LABEL, "batch_year": _WHOLE, "active_backlogs": _WHOLE,
    "tenth_percent": _PERCENT, "twelfth_percent": _PERCENT, "diploma_percent": _PERCENT, "cgpa": _MARK,
}  # fmt: skip
# If the file has the column, an empty number of backlogs does not match, because it is counted.
_CLEAN_WITH_BACKLOGS = _CLEAN | {"active_backlogs": r"\d{1,4}"}
_FOOTER = re.compile(
    r"(?:grand |sub ?)?totals?\b.*|average\b.*|avg\b.*|count\b.*|sum\b.*|max(?:imum)?\b.*|min(?:imum)?\b.*|"
    r"prepared by.*|signature.*|sign(?:ed)?\b.*|note\b.*|\*.*|end of .*|source\b.*|verified by.*|date\s*:.*",
    re.IGNORECASE,
)


class Staging:
    """Encodes the rows of one table. ``warnings`` is complete once every chunk was read."""

    def __init__(self, layout: Layout, *, comma_decimals: bool = False) -> None:
        self._width = len(layout.headers)
        self._headers = [header.casefold() for header in layout.headers]
        self._roundings: dict[str, Rounding] = {}
        self._rules = cells.rules(comma_decimals=comma_decimals, roundings=self._roundings)
        # An absent column gets the index after the last cell, which is empty in a padded row.
        self._places = [layout.places.get(column, (self._width,)) for column in COLUMNS]
        names = {column: layout.headers[places[0]] for column, places in layout.places.items()}
        self._plausibility = Plausibility(layout.places, names)
        self._pick = self._picker()
        clean = _CLEAN_WITH_BACKLOGS if "active_backlogs" in layout.places else _CLEAN
        self._is_clean = re.compile(",".join(clean[column] for column in COLUMNS)).fullmatch

    def _picker(self) -> Callable[[list[str]], tuple[str, ...]]:
        if all(len(place) == 1 for place in self._places):
            return itemgetter(*(place[0] for place in self._places))
        places = self._places
        return lambda row: tuple(" ".join(filter(None, (row[i].strip() for i in place))) for place in places)

    def chunks(self, rows: Iterator[Row]) -> Generator[bytes, None, None]:
        """Yield the rows in COPY's CSV format: line, wrong column, reason, then ``COLUMNS``."""
        read = 0
        while batch := list(islice(rows, CHUNK_ROWS)):
            read += len(batch)
            if read > MAX_ROWS:
                raise too_many_students()
            text = "".join(chain.from_iterable(self._encoded(row) for row in batch))
            if text:
                yield text.encode()

    def warnings(self) -> list[str]:
        return self._plausibility.warnings(self._roundings)

    def _encoded(self, row: Row) -> tuple[str, ...]:
        values = row.cells
        if row.faults is None and len(values) == self._width:
            values.append("")
            picked = self._pick(values)
            joined = ",".join(picked)
            if self._is_clean(joined):
                if not self._plausibility.is_settled:
                    self._plausibility.inspect(picked)
                return (f"{row.line},,,{joined}\n",)
            values.pop()
        staged = self._staged(row)
        return () if staged is None else (_csv_line(staged),)

    def _staged(self, row: Row) -> tuple[object, ...] | None:
        """Return the fields of a row that needs normalising; ``None`` for a row without text."""
        values, faults = row.cells, row.faults or {}
        if WHOLE_ROW in faults:
            return self._faulty(row.line, "", faults[WHOLE_ROW])
        if not faults and not any(value.strip() for value in values):
            return None
        if any(value.strip() for value in values[self._width :]):
            reason = (
                f"has {len(values)} cells; the header has {self._width}: give every column a header, and put quotes "
                "around a cell that holds the separator"
            )
            return self._faulty(row.line, "", reason)
        padded = values[: self._width] + [""] * max(1, self._width + 1 - len(values))
        if faulty := [
            (column, faults[place])
            for column, places in zip(COLUMNS, self._places, strict=True)
            for place in places
            if place in faults
        ]:
            also = f" (see also {', '.join(column for column, _ in faulty[1:])})" if faulty[1:] else ""
            return self._faulty(row.line, faulty[0][0], faulty[0][1] + also)
        if (refusal := self._not_a_student(padded)) is not None:
            return self._faulty(row.line, "", refusal)
        return self._normalised(row.line, padded)

    def _normalised(self, line: int, padded: list[str]) -> tuple[object, ...]:
        stored = []
        for column, text in zip(COLUMNS, self._pick(padded), strict=True):
            try:
                stored.append(self._rules[column](text) if text else "")
            except Unusable as error:
                return self._faulty(line, column, str(error))
        if not self._plausibility.is_settled:
            self._plausibility.inspect(stored)
        self._plausibility.count(line, stored)
        return (line, "", "", *stored)

    def _not_a_student(self, padded: list[str]) -> str | None:
        """Return why a row is not about a student; ``None`` if it may be."""
        cells_ = [value.strip().casefold() for value in padded[: self._width]]
        if cells_ == self._headers:
            return "repeats the header: remove the row"
        if sum(1 for value, header in zip(cells_, self._headers, strict=True) if value and value == header) >= len(
            REQUIRED
        ):
            return (
                "looks like a second line of the header: keep one line, or name the line of the header with header_row"
            )
        first = next((value.strip() for value in padded if value.strip()), "")
        email = padded[self._places[COLUMNS.index("email")][0]]
        roll = padded[self._places[COLUMNS.index("roll_number")][0]]
        if "@" not in email and is_empty_marker(roll.strip()) and _FOOTER.fullmatch(first):
            return f"begins with {first[:40]!r} and looks like a footer, not a student: remove the row"
        if is_empty_marker(email.strip()) and is_empty_marker(roll.strip()):
            return (
                f"begins with {first[:40]!r} and has neither a roll number nor an e-mail address: enter them, or "
                "remove the row if it is a title, a footer or a signature"
            )
        return None

    @staticmethod
    def _faulty(line: int, column: str, reason: str) -> tuple[object, ...]:
        return (line, column, reason, *NO_CELLS)


def _csv_line(fields: tuple[object, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()


def headers_of(cells_: list[str]) -> list[str]:
    """Return the headers of a row: trimmed, on one line, without empty headers at the end."""
    headers = [" ".join(cell.split()) for cell in cells_]
    while headers and not headers[-1]:
        headers.pop()
    return headers
