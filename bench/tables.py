"""Results as tables for a terminal."""

from collections.abc import Iterator

from rich.table import Table

from bench.results import Memory, Ratio, Results
from cli.output import table


def tables(results: Results) -> Iterator[Table]:
    """Yield one table for each kind of figure."""
    marked = "" if results.size == "full" else f" ({results.size})"
    if results.ratios:
        columns = ("", "ratio", "most", "", "spread", "ours", "against")
        yield table(columns, map(_row, results.ratios), title=f"Against the limit or the peer{marked}")
    if results.measured:
        rows = ((one.of, one.name, one.value, one.unit) for one in results.measured)
        yield table(("", "what", "", "unit"), rows, title=f"Measured{marked}")
    if results.memory:
        memory = (
            (one.process, one.work, round(one.before), round(one.peak), round(one.peak - one.before), _bound(one))
            for one in results.memory
        )
        of_memory = ("process", "under", "before", "peak", "grown by", "at most")
        yield table(of_memory, memory, title=f"Resident memory, MiB{marked}")


def _row(one: Ratio) -> tuple[object, ...]:
    low, high = one.spread
    verdict = "[green]met[/green]" if one.met else "[red]over[/red]"
    ours, theirs = (f"{value:.3g} {one.unit}" for value in (one.ours, one.theirs))
    return one.name, f"{one.ratio:.2f}", f"{one.at_most:g}", verdict, f"{low:.2f}-{high:.2f}", ours, theirs


def _bound(one: Memory) -> str | None:
    if one.at_most is None:
        return None
    return f"{one.at_most:g} " + ("[green]met[/green]" if one.peak - one.before <= one.at_most else "[red]over[/red]")
