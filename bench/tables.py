"""Show results as tables in a terminal."""

from collections.abc import Iterator

from rich.table import Table

from bench.results import Memory, Ratio, Results
from cli.output import table


def tables(results: Results) -> Iterator[Table]:
    """Yield one table for each kind of figure."""
    size = "" if results.size == "full" else f" ({results.size})"
    if results.ratios:
        columns = ("", "ratio", "most", "", "spread", "ours", "against")
        yield table(columns, map(_row, results.ratios), title=f"Against the limit or the peer{size}")
    if results.measured:
        rows = ((each.of, each.name, each.value, each.unit) for each in results.measured)
        yield table(("", "what", "", "unit"), rows, title=f"Measured{size}")
    if results.memory:
        memory = (
            (
                each.process,
                each.work,
                round(each.before),
                round(each.peak),
                round(each.peak - each.before),
                _bound(each),
            )
            for each in results.memory
        )
        headings = ("process", "under", "before", "peak", "grown by", "at most")
        yield table(headings, memory, title=f"Resident memory, MiB{size}")


def _row(ratio: Ratio) -> tuple[object, ...]:
    low, high = ratio.spread
    verdict = "[green]met[/green]" if ratio.met else "[red]over[/red]"
    ours, theirs = (f"{value:.3g} {ratio.unit}" for value in (ratio.ours, ratio.theirs))
    return ratio.name, f"{ratio.ratio:.2f}", f"{ratio.at_most:g}", verdict, f"{low:.2f}-{high:.2f}", ours, theirs


def _bound(memory: Memory) -> str | None:
    if memory.at_most is None:
        return None
    is_met = memory.peak - memory.before <= memory.at_most
    return f"{memory.at_most:g} " + ("[green]met[/green]" if is_met else "[red]over[/red]")
