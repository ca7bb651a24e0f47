"""Warn about values that are valid but unlikely, for instance grade points in a column of percentages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.api.students.import_files.cells import Rounding
from services.api.students.import_files.rows import LINES_PER_SHEET
from services.api.students.import_files.vocabulary import COLUMNS

PERCENT_COLUMNS = ("tenth_percent", "twelfth_percent", "diploma_percent")
BACKLOGS = COLUMNS.index("active_backlogs")
TEN_POINTS = 10


@dataclass(slots=True)
class _Count:
    """The number of odd values of a column, and where the first one is."""

    number: int
    first: str


class Plausibility:
    """Inspects rows until no further warning is possible. ``used``: the columns that the file has."""

    def __init__(self, used: Mapping[str, object], headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._low = {column: COLUMNS.index(column) for column in PERCENT_COLUMNS if column in used}
        self._seen: set[str] = set()
        self._has_backlogs = "active_backlogs" in used
        self._watches_backlogs = self._has_backlogs
        self._odd: dict[str, _Count] = {}

    @property
    def is_settled(self) -> bool:
        return not self._low and not self._watches_backlogs

    def look(self, values: Sequence[str]) -> None:
        """Inspect one row of staged values."""
        for column, index in list(self._low.items()):
            if text := values[index]:
                self._seen.add(column)
                if _above(text, TEN_POINTS):
                    del self._low[column]
        if self._watches_backlogs and _above(values[BACKLOGS], 0):
            self._watches_backlogs = False

    def count(self, line: int, values: Sequence[str]) -> None:
        """Count percentages up to 10, and missing numbers of backlogs, of one row of staged values."""
        for column in PERCENT_COLUMNS:
            if (text := values[COLUMNS.index(column)]) and not _above(text, TEN_POINTS):
                self._add(column, line, f": {text}")
        if self._has_backlogs and not values[BACKLOGS]:
            self._add("active_backlogs", line, "")

    def _add(self, column: str, line: int, text: str) -> None:
        place = f"line {line}" if line < LINES_PER_SHEET else f"line {line % LINES_PER_SHEET} of a later sheet"
        found = self._odd.setdefault(column, _Count(0, f"{place}{text}"))
        found.number += 1

    def _oddities(self) -> list[str]:
        found = [
            f"{self._headers[column]!r} ({column}): values of 10 or less: {odd.number:,} ({odd.first}). They are "
            "stored as percentages; if these are grade points, convert them first."
            for column, odd in self._odd.items()
            if column in PERCENT_COLUMNS and column not in self._low
        ]
        if odd := self._odd.get("active_backlogs"):
            found.append(
                f"{self._headers['active_backlogs']!r} (active_backlogs): empty cells: {odd.number:,} (first: "
                f"{odd.first}). New students without a value are stored with 0."
            )
        return found

    def warnings(self, roundings: Mapping[str, Rounding]) -> list[str]:
        """Return a sentence for each unlikely finding."""
        found = [
            f"{self._headers[column]!r} ({column}): no value is above 10. It is stored as a percentage; if these are "
            "grade points, convert them first."
            for column in self._low
            if column in self._seen
        ]
        found += self._oddities()
        if not self._has_backlogs:
            found.append("The file has no column for active_backlogs: new students are stored with 0.")
        elif self._watches_backlogs:
            found.append(f"{self._headers['active_backlogs']!r} (active_backlogs): every student has 0. Is this right?")
        for column, rounding in roundings.items():
            if rounding.first:
                before, after = rounding.first
                found.append(
                    f"{column}: {rounding.count:,} values with more than two decimals were rounded, for instance "
                    f"{before} to {after}."
                )
        return found


def _above(text: str, least: int) -> bool:
    try:
        return float(text) > least
    except ValueError:
        return bool(text)  # refused by its own check
