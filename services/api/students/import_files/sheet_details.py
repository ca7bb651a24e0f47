"""Details of a sheet's cells that calamine leaves out."""

from dataclasses import dataclass, field

UNCACHED = "holds a formula without a saved value: open the file in your spreadsheet, save it, and import it again"


@dataclass(slots=True)
class SheetDetails:
    """Details by row and column, from 0.

    ``formats``: of numbers that are not shown as typed. ``texts``: the shown text, where the file has it. ``faults``:
    why a cell cannot be read.
    """

    formats: dict[int, dict[int, str]] = field(default_factory=dict)
    texts: dict[int, dict[int, str]] = field(default_factory=dict)
    faults: dict[int, dict[int, str]] = field(default_factory=dict)

    def add_format(self, row: int, column: int, code: str) -> None:
        self.formats.setdefault(row, {})[column] = code

    def add_text(self, row: int, column: int, text: str) -> None:
        self.texts.setdefault(row, {})[column] = text

    def add_fault(self, row: int, column: int, reason: str) -> None:
        self.faults.setdefault(row, {})[column] = reason


def error_reason(text: str) -> str:
    """Return the reason for refusing a cell that holds the error ``text``."""
    return f"holds {text}, the error of a formula: correct the formula in the sheet, or clear the cell"
