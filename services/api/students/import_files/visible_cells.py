"""Return the cells that a user sees. Hidden rows and columns are left out; merged cells repeat their value."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.api.students.import_files.sheet_details import MergedRange, SheetDetails

SHOWN_LINES = 5
SHOWN_HEADER = 40


@dataclass(slots=True)
class _OpenRange:
    last_row: int
    column: int
    text: str


class MergedCells:
    """Fills the cells of ranges that are merged over several rows. ``fill`` is called for the rows in order."""

    def __init__(self, ranges: Iterable[MergedRange]) -> None:
        self._starting: dict[int, list[tuple[int, int]]] = {}
        self._open: list[_OpenRange] = []
        for (top, left), (bottom, _) in ranges:
            if bottom > top:
                self._starting.setdefault(top, []).append((left, bottom))

    def fill(self, row: int, cells: list[str]) -> None:
        """Write the values of merged ranges that began in earlier rows into ``cells`` of ``row``."""
        if not self._starting and not self._open:
            return
        self._open = [merged for merged in self._open if merged.last_row >= row]
        for merged in self._open:
            cells += [""] * (merged.column + 1 - len(cells))
            cells[merged.column] = cells[merged.column] or merged.text
        for column, last_row in self._starting.pop(row, ()):
            if column < len(cells) and cells[column]:
                self._open.append(_OpenRange(last_row, column, cells[column]))


class HiddenCells:
    """Records the hidden rows and columns that are left out although they have values."""

    def __init__(self, details: SheetDetails) -> None:
        self._details = details
        self._lines: list[int] = []
        self._columns: dict[int, str] = {}

    def hides_row(self, row: int, values: Sequence[object]) -> bool:
        """Return whether ``row`` is hidden."""
        if row not in self._details.hidden_rows:
            return False
        if any(value != "" for value in values):
            self._lines.append(row + 1)
        return True

    def hides_column(self, column: int, value: object) -> bool:
        """Return whether ``column`` is hidden. If so, record it with its ``value``."""
        if column not in self._details.hidden_columns:
            return False
        if value != "":
            self._columns.setdefault(column, " ".join(str(value).split())[:SHOWN_HEADER])
        return True

    def notes(self, sheet: str) -> list[str]:
        """Return texts about the rows and columns that were left out."""
        texts = []
        if self._lines:
            lines = ", ".join(map(str, self._lines[:SHOWN_LINES])) + (", …" if self._lines[SHOWN_LINES:] else "")
            texts.append(
                f"Hidden rows of the sheet {sheet!r} were left out: {len(self._lines):,} (line {lines}). "
                "Unhide them, or remove the filter, to import them."
            )
        if self._columns:
            names = ", ".join(
                f"{column_letters(column)} ({self._columns[column]!r})" for column in sorted(self._columns)
            )
            texts.append(f"Hidden columns of the sheet {sheet!r} were left out: {names}. Unhide them to import them.")
        return texts


def column_letters(index: int) -> str:
    """Return the name of the column at ``index``, from 0: A, B, …, AA."""
    letters = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        letters = chr(65 + digit) + letters
    return letters
