"""Results of conditions and rules. A result is true, false, or unknown (``None``) when a fact is not on record."""

from collections.abc import Iterable
from dataclasses import dataclass

Tri = bool | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one condition: what it requires, what the student or the drive has, and which facts are missing."""

    holds: Tri
    required: str
    yours: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """A count with uncertain members: it is from ``low`` to ``high``."""

    low: int
    high: int
    missing: tuple[str, ...] = ()

    def below(self, limit: int) -> Tri:
        if self.high < limit:
            return True
        return False if self.low >= limit else None

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


def all_of(values: Iterable[Tri]) -> Tri:
    distinct = set(values)
    if False in distinct:
        return False
    return None if None in distinct else True


def any_of(values: Iterable[Tri]) -> Tri:
    distinct = set(values)
    if True in distinct:
        return True
    return None if None in distinct else False


def negated(value: Tri) -> Tri:
    return None if value is None else not value
