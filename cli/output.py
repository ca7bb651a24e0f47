"""Output of the command: results go to standard output, progress and errors to standard error."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

console = Console()
errors = Console(stderr=True)


def counted() -> Progress:
    """Return a progress bar for a count. It prints nothing when standard error is not a terminal."""
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), console=errors, disable=not errors.is_terminal,
    )  # fmt: skip


def sent() -> Progress:
    """Return a progress bar for bytes that are sent."""
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), DownloadColumn(),
        TransferSpeedColumn(), TimeElapsedColumn(), console=errors, disable=not errors.is_terminal,
    )  # fmt: skip


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> Table:
    """Return a table. Columns with only numbers are right-aligned; ``None`` is shown as a dash."""
    cells = [tuple(row) for row in rows]
    result = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[number], int | float) for row in cells)
        result.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        result.add_row(*(_shown(value) for value in row))
    return result


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
