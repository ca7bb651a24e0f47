"""Warn about values that are valid but unlikely, such as grade points in a column of percentages."""

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
    """The number of unlikely values of a column, and the place of the first one."""

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
        self._unlikely: dict[str, _Count] = {}

    @property
    def is_settled(self) -> bool:
        return not self._low and not self._watches_backlogs

    def inspect(self, values: Sequence[str]) -> None:
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
        count = self._unlikely.setdefault(column, _Count(0, f"{place}{text}"))
        count.number += 1

    def _counted(self) -> list[str]:
        texts = [
            f"{self._headers[column]!r} ({column}): values of 10 or less: {values.number:,} ({values.first}). They are "
            "stored as percentages; if these are grade points, convert them first."
            for column, values in self._unlikely.items()
            if column in PERCENT_COLUMNS and column not in self._low
        ]
        if values := self._unlikely.get("active_backlogs"):
            texts.append(
                f"{self._headers['active_backlogs']!r} (active_backlogs): empty cells: {values.number:,} (first: "
                f"{values.first}). New students without a value are stored with 0."
            )
        return texts

    def warnings(self, roundings: Mapping[str, Rounding]) -> list[str]:
        """Return a sentence for each kind of unlikely values."""
        texts = [
            f"{self._headers[column]!r} ({column}): no value is above 10. It is stored as a percentage; if these are "
            "grade points, convert them first."
            for column in self._low
            if column in self._seen
        ]
        texts += self._counted()
        if not self._has_backlogs:
            texts.append("The file has no column for active_backlogs: new students are stored with 0.")
        elif self._watches_backlogs:
            texts.append(f"{self._headers['active_backlogs']!r} (active_backlogs): every student has 0. Is this right?")
        for column, rounding in roundings.items():
            if rounding.first:
                before, after = rounding.first
                texts.append(
                    f"{column}: {rounding.count:,} values with more than two decimals were rounded, for instance "
                    f"{before} to {after}."
                )
        return texts


def _above(text: str, limit: int) -> bool:
    try:
        return float(text) > limit
    except ValueError:
        return bool(text)  # the check of the column refuses it
