"""The types that the file readers and the staging code exchange."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the caller says about the file.

    ``mapping``: our column → the file's header, or ``None`` when the file has no such column. ``header_row``: line of
    the header, from 1. ``sheet``: the sheet to read. ``updates``: known students may be updated, so a file with roll
    numbers or e-mail addresses alone can be used.
    """

    mapping: Mapping[str, str | None]
    header_row: int | None = None
    sheet: str | None = None
    updates: bool = False


# The key of a fault that concerns the whole row.
WHOLE_ROW = -1


class Row(NamedTuple):
    """``line``: from 1, as the file counts. ``faults``: cells that cannot be read, by index, and why."""

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
    """Everything of a file that is read. ``notes``: sentences about what is left out."""

    tables: list[Table]
    notes: list[str]
