"""Check the limits on accepted offers (``hold``) for one acceptance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contracts.policy.document import Hold, Policy
from contracts.policy.values import OfferState
from services.api.policy.evaluation import conditions_hold
from services.api.policy.facts import OfferFacts
from services.api.policy.outcome import Bounds, Tri
from services.api.policy.situation import Situation


@dataclass(frozen=True, slots=True)
class LimitResult:
    """A limit. ``held``: the accepted offers that it counts. ``permits``: whether the student may accept another."""

    rule: str
    code: str
    limit: int
    held: Bounds
    permits: Tri
    beyond: str
    offers: tuple[str, ...]


def accepted_offers(situation: Situation) -> list[OfferFacts]:
    """Return the accepted offers that count, in the track of the drive in question."""
    counts = situation.policy.counts
    return [
        offer
        for offer in situation.in_track
        if offer.state is OfferState.ACCEPTED and OfferState.ACCEPTED in counts.of(offer.source)
    ]


def judge_hold(policy: Policy, situation: Situation, held: Sequence[OfferFacts]) -> list[LimitResult]:
    """Return the result of each limit that applies, if ``held`` stay accepted and the drive's offer is added."""
    results: list[LimitResult] = []
    for number, hold in enumerate(policy.hold):
        applies = True if hold.when is None else conditions_hold(hold.when, situation)
        if applies is not False:
            results += _limits(f"hold[{number}]", hold, applies, situation, held)
    return results


def _limits(
    rule: str, hold: Hold, applies: Tri, situation: Situation, held: Sequence[OfferFacts]
) -> Iterator[LimitResult]:
    level, category = situation.level(situation.drive), situation.drive.category
    in_level = [_same(level, situation.level(offer)) for offer in held]
    in_category = [_same(category, offer.category) for offer in held]
    in_all: list[Tri] = [True] * len(held)
    level_missing = () if level is not None else ("drive.level",)
    category_missing = () if category is not None else ("drive.category",)
    for name, code, limit, members, missing in (
        ("total", "HOLD_TOTAL_REACHED", hold.total, in_all, ()),
        ("per_level", "HOLD_LEVEL_REACHED", _limit_for(hold.per_level, level), in_level, level_missing),
        (
            "per_category",
            "HOLD_CATEGORY_REACHED",
            _limit_for(hold.per_category, category),
            in_category,
            category_missing,
        ),
    ):
        if limit is not None:
            certain = [offer.id for offer, same in zip(held, members, strict=True) if same is True]
            possible = [offer.id for offer, same in zip(held, members, strict=True) if same is None]
            bounds = Bounds(len(certain), len(certain) + len(possible), missing)
            permits = bounds.below(limit)
            if applies is None and permits is False:
                permits = None
            yield LimitResult(f"{rule}.{name}", code, limit, bounds, permits, hold.beyond, (*certain, *possible))


def _same(first: str | None, second: str | None) -> Tri:
    return None if first is None or second is None else first == second


def _limit_for(limits: int | dict[str, int] | None, group: str | None) -> int | None:
    """Return the limit for the drive's level or category ``group``. If that is unknown, return the smallest limit."""
    if limits is None or isinstance(limits, int):
        return limits
    return min(limits.values(), default=None) if group is None else limits.get(group)
