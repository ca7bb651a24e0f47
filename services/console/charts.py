"""Compute charts that templates draw as SVG in the page.

Their colours come from the stylesheet. The SVG of a chart library has inline styles, which the Content-Security-Policy
of the console refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 10, 22


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar. ``y``: its upper edge. ``width``: its length."""

    label: str
    value: float
    y: int
    width: float


def bar_chart(rows: Sequence[tuple[str, float]], *, width: int = 300) -> list[Bar]:
    """Return the bars of ``rows`` (label, value); the largest is ``width`` long."""
    largest = max((value for _, value in rows), default=0) or 1
    return [
        Bar(label, value, 26 * place, max(2.0, width * value / largest)) for place, (label, value) in enumerate(rows)
    ]


@dataclass(frozen=True, slots=True)
class Line:
    """``points``: those of the polyline. ``dots``: x, y, label and value of each. ``ticks``: y and value of each."""

    points: str
    area: str
    dots: list[tuple[float, float, str, float]]
    ticks: list[tuple[float, int]]


def line_chart(rows: Sequence[tuple[str, float]], *, top: float | None = None) -> Line:
    """Return the line through ``rows`` (label, value), in a box of ``WIDTH`` by ``HEIGHT``.

    ``top``: the value of the upper edge.
    """
    highest = top if top is not None else _round_up(max((value for _, value in rows), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(rows) - 1)
    height = HEIGHT - TOP - BOTTOM

    def y(value: float) -> float:
        return round(TOP + height * (1 - value / highest), 1)

    dots = [(round(LEFT + place * step, 1), y(value), label, value) for place, (label, value) in enumerate(rows)]
    points = " ".join(f"{left},{upper}" for left, upper, _, _ in dots)
    floor = y(0)
    area = f"{dots[0][0]},{floor} {points} {dots[-1][0]},{floor}" if dots else ""
    return Line(points, area, dots, [(y(highest * part / 2), round(highest * part / 2)) for part in range(3)])


def _round_up(value: float) -> float:
    """Return the next even number of 2, 4, 10, 20, 40, 100 …, so that the ticks are whole."""
    if value <= 2:
        return 2
    size = 10.0 ** (len(str(int(value))) - 1)
    return next(size * times for times in (2, 4, 6, 8, 10, 20) if size * times >= value)
