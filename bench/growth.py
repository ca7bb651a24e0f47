"""Compare the time for the largest table with the time for a table of a tenth of its rows. Measures nothing itself.

It needs the lines of ``eligibility`` and ``export``, which the same run must measure before.
"""

from bench.pairs import spread
from bench.results import AT_MOST, Ratio
from bench.sizes import Size
from bench.stage import Bench


def steps(_size: Size) -> int:
    return 0


async def run(bench: Bench) -> None:
    """Add the worse ratio. Raises ``LookupError`` when a line is missing, or ends before the largest table."""
    lines = {name: dict(bench.results.lines.get(name, [])) for name in ("eligibility", "export")}
    _, fewer, most = bench.size.rows
    if not all({fewer, most} <= set(line) for line in lines.values()):
        raise LookupError("growth needs complete results of eligibility and export: run these too")
    grown = {name: line[most] / line[fewer] for name, line in lines.items()}
    worst = max(grown, key=lambda name: grown[name])
    line, both = lines[worst], spread(list(grown.values()))
    bench.results.ratios.append(
        Ratio(
            "growth", grown[worst], AT_MOST["growth"], (both.low, both.high), line[most], line[fewer], "s",
            bench.size.pairs,
        )
    )  # fmt: skip
    for name, times in grown.items():
        bench.results.note("growth", f"{name}, {fewer:,} to {most:,} rows", times, "times")
