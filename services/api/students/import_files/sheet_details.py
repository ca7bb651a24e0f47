"""Details of a sheet's cells that calamine leaves out."""

from dataclasses import dataclass, field
from typing import TypeAlias

# The first and the last cell: row and column of each, from 0.
MergedRange: TypeAlias = tuple[tuple[int, int], tuple[int, int]]

UNCACHED = "holds a formula without a saved value: open the file in your spreadsheet, save it, and import it again"


@dataclass(slots=True)
class SheetDetails:
    """The details by row and column, both from 0.

    ``formats``: format codes of numbers that the sheet does not show as typed. ``texts``: the text that a cell shows,
    if the file stores it. ``faults``: why a cell cannot be read. ``merged``: ranges that calamine does not report.
    """

    formats: dict[int, dict[int, str]] = field(default_factory=dict)
    texts: dict[int, dict[int, str]] = field(default_factory=dict)
    faults: dict[int, dict[int, str]] = field(default_factory=dict)
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[MergedRange] = field(default_factory=list)

    def add_format(self, row: int, column: int, code: str) -> None:
        self.formats.setdefault(row, {})[column] = code

    def add_text(self, row: int, column: int, text: str) -> None:
        self.texts.setdefault(row, {})[column] = text

    def add_fault(self, row: int, column: int, reason: str) -> None:
        self.faults.setdefault(row, {})[column] = reason


def error_reason(text: str) -> str:
    """Return the reason for refusing a cell that holds the error ``text``."""
    return f"holds {text}, the error of a formula: correct the formula in the sheet, or clear the cell"
