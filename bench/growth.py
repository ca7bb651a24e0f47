"""How the time of each set grows with its rows: the largest table against one of a tenth. Measures nothing itself.

It needs the lines of ``eligibility`` and ``export``, which are run before it in the same run.
"""

from bench.pairs import spread
from bench.results import AT_MOST, Ratio
from bench.stage import Bench


def steps(_pairs: int) -> int:
    return 0


async def run(bench: Bench) -> None:
    """Raises ``LookupError`` when there are no lines to compare."""
    grown = {name: line[-1][1] / line[-2][1] for name, line in bench.results.lines.items() if len(line) > 1}
    if not grown:
        raise LookupError("growth needs the lines of eligibility and export: run them too")
    worst = max(grown, key=lambda name: grown[name])
    line, over_all = bench.results.lines[worst], spread(list(grown.values()))
    bench.results.ratios.append(
        Ratio(
            "growth", grown[worst], AT_MOST["growth"], (over_all.low, over_all.high), line[-1][1], line[-2][1], "s",
            bench.size.pairs,
        )
    )  # fmt: skip
    for name, times in grown.items():
        bench.results.note("growth", f"{name}, {line[-2][0]:,} to {line[-1][0]:,} rows", times, "times")
