"""What the readers of files yield."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row, or a cell of it in ``column``, that cannot even be looked at. ``reason``: for people."""

    column: str | None
    reason: str


# Line of the file, from 1, and the row's cells as text.
Row: TypeAlias = tuple[int, Sequence[str] | Unreadable]
# To be closed by whoever does not read to the end: it holds on to the file.
Rows: TypeAlias = Generator[Row, None, None]
