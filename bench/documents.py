"""Write the results into docs/scaling.md, between two markers."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import simulate
from bench.results import Results

BEGIN, END = "<!-- measured by make bench -->", "<!-- end of what was measured -->"
SHOWN = ("cost", "burst", "stampede", "effect_latency", "effect_drain", "import", "refresh")


def put_into(document: Path, results: Results) -> None:
    """Replace the text between the markers. Raises ``ValueError`` when a marker is missing."""
    text = document.read_text()
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    document.write_text(f"{text[:before]}\n\n{markdown(results)}\n{text[after:]}")


def markdown(results: Results) -> str:
    """Return Markdown tables of the ratios, the costs, the memory of each process, and the predictions."""
    lines = [f"Measured by `make bench`, size {results.size}, {results.machine['cpus']} cores that everything shared."]
    lines += [
        f"{name} failed: {' '.join(reason.split())}. The figures below are from before the failure."
        for name, reason in results.failed.items()
    ]
    if results.ratios:
        ratios = (
            (
                ratio.name,
                f"{ratio.ratio:.2f}",
                ratio.at_most,
                "met" if ratio.met else "**over**",
                f"{ratio.spread[0]:.2f} to {ratio.spread[1]:.2f}",
            )
            for ratio in results.ratios
        )
        lines += _table(("ratio", "measured", "at most", "", "spread"), ratios)
    shown = ((each.of, each.name, _figure(each.value), each.unit) for each in results.measured if each.of in SHOWN)
    lines += _table(("part of the bench", "what", "", "unit"), shown)
    memory = ((each.process, each.work, _figure(each.before), _figure(each.peak)) for each in results.memory)
    lines += _table(("process", "under", "before, MiB", "peak, MiB"), memory)
    # After a failed bench the figures are incomplete, so there are no predictions.
    if not results.failed and {"burst", "effect_latency"} <= {each.of for each in results.measured}:
        lines += ["", "Simulated from these figures; see *Ten and a hundred times as much* below:"]
        rows = (
            tuple(_figure(cell) if isinstance(cell, float) else cell for cell in row)
            for row in simulate.predicted(asdict(results))
        )
        lines += _table(simulate.COLUMNS, rows)
    return "\n".join([*lines, ""])


def _table(columns: Sequence[str], rows: Iterator[tuple[object, ...]]) -> list[str]:
    lines = [" | ".join(map(str, row)) for row in (columns, ["---"] * len(columns), *rows)]
    return ["", *(f"| {line} |" for line in lines)]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"
