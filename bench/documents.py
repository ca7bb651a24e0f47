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
        f"{name} failed; what it had measured before is below: {' '.join(reason.split())}"
        for name, reason in results.failed.items()
    ]
    if results.ratios:
        ratios = (
            (
                one.name,
                f"{one.ratio:.2f}",
                one.at_most,
                "met" if one.met else "**over**",
                f"{one.spread[0]:.2f} to {one.spread[1]:.2f}",
            )
            for one in results.ratios
        )
        lines += _table(("ratio", "measured", "at most", "", "spread"), ratios)
    shown = ((one.of, one.name, _figure(one.value), one.unit) for one in results.measured if one.of in SHOWN)
    lines += _table(("part of the bench", "what", "", "unit"), shown)
    memory = ((one.process, one.work, _figure(one.before), _figure(one.peak)) for one in results.memory)
    lines += _table(("process", "under", "before, MiB", "peak, MiB"), memory)
    # A bench that failed midway has left some of its figures: nothing is predicted from those.
    if not results.failed and {"burst", "effect_latency"} <= {one.of for one in results.measured}:
        lines += ["", "Simulated from these figures (*Ten and a hundred times as much*, below):"]
        rows = (
            tuple(_figure(one) if isinstance(one, float) else one for one in row)
            for row in simulate.predicted(asdict(results))
        )
        lines += _table(simulate.COLUMNS, rows)
    return "\n".join([*lines, ""])


def _table(columns: Sequence[str], rows: Iterator[tuple[object, ...]]) -> list[str]:
    listed = [" | ".join(map(str, row)) for row in (columns, ["---"] * len(columns), *rows)]
    return ["", *(f"| {line} |" for line in listed)]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"
