"""How the time of each set grows with its rows: the largest table against one of a tenth. Measures nothing itself.

It needs the lines of ``eligibility`` and ``export``, which are run before it in the same run.
"""

from bench.pairs import spread
from bench.results import AT_MOST, Ratio
from bench.sizes import Size
from bench.stage import Bench


def steps(_size: Size) -> int:
    return 0


async def run(bench: Bench) -> None:
    """Raises ``LookupError`` when a line is missing, or ends before the largest table."""
    lines = {name: dict(bench.results.lines.get(name, [])) for name in ("eligibility", "export")}
    _, fewer, most = bench.size.rows
    if not all({fewer, most} <= set(line) for line in lines.values()):
        raise LookupError("growth needs the whole lines of eligibility and export: run them too")
    grown = {name: line[most] / line[fewer] for name, line in lines.items()}
    worst = max(grown, key=lambda name: grown[name])
    line, over_all = lines[worst], spread(list(grown.values()))
    bench.results.ratios.append(
        Ratio(
            "growth", grown[worst], AT_MOST["growth"], (over_all.low, over_all.high), line[most], line[fewer], "s",
            bench.size.pairs,
        )
    )  # fmt: skip
    for name, times in grown.items():
        bench.results.note("growth", f"{name}, {fewer:,} to {most:,} rows", times, "times")
