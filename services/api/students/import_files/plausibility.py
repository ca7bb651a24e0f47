"""Warn about values that are valid but unlikely, for instance grade points in a column of percentages."""

from collections.abc import Mapping, Sequence

from services.api.students.columns import COLUMNS
from services.api.students.import_files.cells import Rounding

PERCENT_COLUMNS = ("tenth_percent", "twelfth_percent", "diploma_percent")
BACKLOGS = COLUMNS.index("active_backlogs")
TEN_POINTS = 10


class Plausibility:
    """Inspects rows until no further warning is possible. ``used``: the columns that the file has."""

    def __init__(self, used: Mapping[str, object], headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._low = {column: COLUMNS.index(column) for column in PERCENT_COLUMNS if column in used}
        self._seen: set[str] = set()
        self._has_backlogs = "active_backlogs" in used
        self._watches_backlogs = self._has_backlogs

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

    def warnings(self, roundings: Mapping[str, Rounding]) -> list[str]:
        """Return a sentence for each unlikely finding."""
        found = [
            f"{self._headers[column]!r} ({column}): no value is above 10. It is stored as a percentage; if these are "
            "grade points, convert them first."
            for column in self._low
            if column in self._seen
        ]
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
