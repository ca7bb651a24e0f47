"""Types shared by the file readers and the staging code."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The caller's options for the file.

    ``mapping``: column → header in the file, or ``None`` when the file has no such column. ``header_row``: line of
    the header, from 1. ``sheet``: the sheet to read. ``updates``: students on record may be updated, so roll numbers
    or e-mail addresses alone are enough.
    """

    mapping: Mapping[str, str | None]
    header_row: int | None = None
    sheet: str | None = None
    updates: bool = False


# The offset of the lines of the second sheet. Each further sheet adds it again, so that staged lines are unique.
LINES_PER_SHEET = 2_000_000
# The key of a fault that concerns the whole row.
WHOLE_ROW = -1


class Row(NamedTuple):
    """A row. ``line``: its line in the file, from 1. ``faults``: the reason for each unreadable cell, by index."""

    line: int
    cells: list[str]
    faults: Mapping[int, str] | None = None


Rows: TypeAlias = Generator[Row, None, None]


@dataclass(slots=True)
class Table:
    """One sheet, or one CSV file. ``comma_decimals``: numbers may be written as 8,1."""

    rows: Rows
    sheet: str | None = None
    comma_decimals: bool = False


@dataclass(slots=True)
class Tables:
    """The tables of a file that are read. ``notes``: sentences about parts that are left out."""

    tables: list[Table]
    notes: list[str]
