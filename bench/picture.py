"""Draw ``docs/benchmarks.svg``: ratios as bars with their spread, growth as lines, the burst as curves."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from bench.results import Ratio, Results

WIDTH = 760
LEFT, RIGHT = 170, 60
BAR, GAP = 16, 12
PLOT_HEIGHT = 180
WITHIN, OVER, INK, FAINT = "#2a7f62", "#c0392b", "#222", "#bbb"
COLOURS = ("#2a6f97", "#bc6c25")
# A bar shows a ratio as a share of its bound. Longer bars are cut off at this share.
MAX_SHARE = 2.0

Points = Sequence[tuple[float, float]]


class Drawing:
    """SVG elements, one below the other. ``y``: where the next element begins."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = 20.0

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, colour: str = INK) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">'
            f"{escape(words)}</text>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = INK, *, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>')

    def bar(self, x: float, y: float, width: float, colour: str) -> None:
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')

    def path(self, points: Points, colour: str) -> None:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def title(self, words: str) -> None:
        self.text(20, self.y, words, size=14)
        self.y += 22

    def svg(self) -> str:
        height = math.ceil(self.y + 10)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" font-family="system-ui, sans-serif">'
        )
        return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *self.parts, "</svg>", ""])


def draw(results: Results) -> str:
    """Return the diagram as SVG."""
    drawing = Drawing()
    if results.ratios:
        _ratios(drawing, results.ratios, results.size)
    if results.lines:
        _lines(drawing, "Seconds for each number of rows (both logarithmic)", results.lines)
    if results.curves:
        _curves(drawing, "A burst of events: what was left, by the second", results.curves)
    return drawing.svg()


def _ratios(drawing: Drawing, ratios: Sequence[Ratio], size: str) -> None:
    drawing.title("Times the limit or the peer" + ("" if size == "full" else f" ({size})"))
    scale = (WIDTH - LEFT - RIGHT) / MAX_SHARE
    top = drawing.y
    for ratio in ratios:
        values = (ratio.spread[0], ratio.ratio, ratio.spread[1])
        low, end_of_bar, high = (LEFT + min(value / ratio.at_most, MAX_SHARE) * scale for value in values)
        drawing.text(LEFT - 8, drawing.y + BAR - 4, ratio.name, anchor="end")
        drawing.bar(LEFT, drawing.y, end_of_bar - LEFT, WITHIN if ratio.met else OVER)
        middle = drawing.y + BAR / 2
        drawing.line(low, middle, high, middle)
        for end in (low, high):
            drawing.line(end, middle - 4, end, middle + 4)
        label = f"{ratio.ratio:.2f} of {ratio.at_most:g}"
        drawing.text(max(end_of_bar, high) + 6, drawing.y + BAR - 4, label, size=11)
        drawing.y += BAR + GAP
    drawing.line(LEFT + scale, top - 6, LEFT + scale, drawing.y - 4, FAINT, dashed=True)
    drawing.text(LEFT + scale, drawing.y + 8, "at most", anchor="middle", size=11)
    drawing.y += 36


def _lines(drawing: Drawing, title: str, lines: dict[str, list[tuple[int, float]]]) -> None:
    logs = {name: [(math.log10(x), math.log10(y)) for x, y in points] for name, points in lines.items()}
    _plot(
        drawing, title, logs, across=lambda x: f"{10**x:,.0f} rows", up=lambda y: f"{10**y:.2g} s",
        ticks=sorted({x for points in logs.values() for x, _ in points}),
    )  # fmt: skip


def _curves(drawing: Drawing, title: str, curves: dict[str, list[tuple[float, int]]]) -> None:
    last = max(x for points in curves.values() for x, _ in points)
    as_floats = {name: [(x, float(y)) for x, y in points] for name, points in curves.items()}
    _plot(drawing, title, as_floats, across="{:.0f} s".format, up="{:,.0f}".format, ticks=[0, last / 2, last])


def _plot(
    drawing: Drawing,
    title: str,
    lines: Mapping[str, Points],
    *,
    across: Callable[[float], str],
    up: Callable[[float], str],
    ticks: Sequence[float],
) -> None:
    drawing.title(title)
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x0, y0 = min(xs), min(ys)
    wide, high = (max(xs) - x0) or 1.0, (max(ys) - y0) or 1.0
    bottom = drawing.y + PLOT_HEIGHT
    scale = (WIDTH - LEFT - RIGHT - 100) / wide

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - x0) * scale, bottom - (y - y0) / high * PLOT_HEIGHT

    drawing.line(LEFT, bottom, LEFT + wide * scale, bottom, FAINT)
    for tick in ticks:
        drawing.text(place(tick, y0)[0], bottom + 16, across(tick), anchor="middle", size=11)
    for value in (y0, y0 + high):
        drawing.text(LEFT - 8, place(x0, value)[1] + 4, up(value), anchor="end", size=11)
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawing.path([place(x, y) for x, y in points], colour)
        drawing.text(LEFT + wide * scale + 8, drawing.y + 12 + 16 * number, name, size=11, colour=colour)
    drawing.y = bottom + 46
