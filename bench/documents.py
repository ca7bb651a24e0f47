"""Puts what was measured into docs/scaling.md, between two marks, so that nobody copies figures by hand."""

from pathlib import Path

from bench.results import Measured, Results

BEGIN, END = "<!-- measured by make bench -->", "<!-- end of what was measured -->"
SHOWN = ("cost", "burst", "stampede", "effect_latency", "effect_drain", "refresh")


def put_into(document: Path, results: Results) -> None:
    """Replace what stands between the marks. Raises ``ValueError`` when a mark is missing."""
    text = document.read_text()
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    document.write_text(f"{text[:before]}\n\n{markdown(results)}\n{text[after:]}")


def markdown(results: Results) -> str:
    """Two tables: what things cost, and the memory of each process."""
    of = f"Measured by `make bench`, size {results.size}, {results.machine['cpus']} cores that everything shared."
    lines = [of, "", "| part of the bench | what | | unit |", "| --- | --- | ---: | --- |"]
    lines += [f"| {one.of} | {one.name} | {_figure(one)} | {one.unit} |" for one in results.measured if one.of in SHOWN]
    lines += ["", "| process | under | before, MiB | peak, MiB |", "| --- | --- | ---: | ---: |"]
    lines += [f"| {one.process} | {one.work} | {one.before:,.0f} | {one.peak:,.0f} |" for one in results.memory]
    return "\n".join([*lines, ""])


def _figure(one: Measured) -> str:
    return f"{one.value:,.0f}" if abs(one.value) >= 100 or one.value == round(one.value) else f"{one.value:.3g}"
