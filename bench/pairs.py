"""Measure two sides alternately, so that other load on the machine affects both equally."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Side = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Spread:
    """The quartiles of measurements. For fewer than four: minimum, median and maximum."""

    low: float
    middle: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of ``values``. Raises ``statistics.StatisticsError`` when there are none."""
    if len(values) < 4:
        return Spread(min(values), statistics.median(values), max(values))
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, middle, high)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The results of both sides, in the order of measurement: ``theirs[i]`` was measured right after ``ours[i]``."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratio(self) -> Spread:
        return spread([our / their for our, their in zip(self.ours, self.theirs, strict=True)])


async def alternated(*sides: Side, rounds: int, step: Callable[[], None]) -> list[tuple[float, ...]]:
    """Return the results of each of ``sides`` in every round (A B A B), after a warm-up round that does not count."""
    results: list[tuple[float, ...]] = []
    for number in range(rounds + 1):
        round_ = []
        for side in sides:
            round_.append(await side())
            step()
        if number:
            results.append(tuple(round_))
    return [tuple(side_results) for side_results in zip(*results, strict=True)]


async def paired(ours: Side, theirs: Side, *, rounds: int, step: Callable[[], None]) -> Pairs:
    return Pairs(*await alternated(ours, theirs, rounds=rounds, step=step))
