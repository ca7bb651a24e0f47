"""Results as tables for a terminal."""

from collections.abc import Iterator

from rich.table import Table

from bench.results import Ratio, Results
from cli.output import table


def tables(results: Results) -> Iterator[Table]:
    """One for each sort of figure there is."""
    marked = "" if results.size == "full" else f" ({results.size})"
    if results.ratios:
        columns = ("", "ratio", "at most", "", "spread", "ours", "limit or peer", "unit", "pairs")
        yield table(columns, map(_row, results.ratios), title=f"Against the limit or the peer{marked}")
    if results.measured:
        rows = ((one.of, one.name, one.value, one.unit) for one in results.measured)
        yield table(("", "what", "", "unit"), rows, title=f"Measured{marked}")
    if results.memory:
        memory = (
            (one.process, one.work, round(one.before), round(one.peak), round(one.peak - one.before), one.at_most)
            for one in results.memory
        )
        columns = ("process", "under", "before", "peak", "grown by", "at most")
        yield table(columns, memory, title=f"Resident memory, MiB{marked}")


def _row(one: Ratio) -> tuple[object, ...]:
    low, high = one.spread
    verdict = "[green]met[/green]" if one.met else "[red]over[/red]"
    return (
        one.name, one.ratio, f"{one.at_most:g}", verdict, f"{low:.2f} to {high:.2f}",
        f"{one.ours:.3g}", f"{one.theirs:.3g}", one.unit, one.pairs,
    )  # fmt: skip
