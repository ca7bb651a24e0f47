"""Two sides measured in turn, so that what else the machine does meets both alike."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Side = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Spread:
    """The quartiles of some measurements; of fewer than four, the least and the most."""

    low: float
    middle: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Raises ``statistics.StatisticsError`` when there are none."""
    if len(values) < 4:
        return Spread(min(values), statistics.median(values), max(values))
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, middle, high)


@dataclass(frozen=True, slots=True)
class Pairs:
    """What each side took, in the order measured: ``ours[i]`` and ``theirs[i]`` one after the other."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratio(self) -> Spread:
        return spread([our / their for our, their in zip(self.ours, self.theirs, strict=True)])


async def alternated(*sides: Side, rounds: int, step: Callable[[], None]) -> list[tuple[float, ...]]:
    """What each of ``sides`` took in every round, A B A B; a round before that warms up and does not count."""
    taken: list[tuple[float, ...]] = []
    for number in range(rounds + 1):
        one = []
        for side in sides:
            one.append(await side())
            step()
        if number:
            taken.append(tuple(one))
    return [tuple(of_one_side) for of_one_side in zip(*taken, strict=True)]


async def paired(ours: Side, theirs: Side, *, rounds: int, step: Callable[[], None]) -> Pairs:
    return Pairs(*await alternated(ours, theirs, rounds=rounds, step=step))
