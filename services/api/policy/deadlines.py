"""Compute the deadline for a decision on an offer, and the state of an undecided offer after the deadline."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.policy.document import Policy
from contracts.policy.values import OfferState
from services.api.policy.facts import OfferFacts, SeasonFacts
from services.api.policy.penalties import end_of

AFTER_SILENCE = {"decline": OfferState.DECLINED, "expire": OfferState.EXPIRED, "accept": OfferState.ACCEPTED}


@dataclass(frozen=True, slots=True)
class Deadline:
    """``at``: ``None`` if there is no deadline, or if it is unknown because facts are ``missing``."""

    at: datetime | None
    missing: tuple[str, ...] = ()


def deadline_of(policy: Policy, offer: OfferFacts, season: SeasonFacts) -> Deadline:
    """Return the last moment at which ``offer`` can be accepted.

    A deadline recorded on the offer takes precedence over ``decide_in`` of the offer's source.
    """
    if offer.deadline is not None:
        return Deadline(offer.deadline)
    time = policy.decide_in.of(offer.source)
    if time is None:
        return Deadline(None)
    opening = time.from_ == "opening"
    begin = offer.opened_at if opening else offer.announced_at
    if begin is None:
        return Deadline(None, (f"offers[{offer.id}].{'opened_at' if opening else 'announced_at'}",))
    due = begin + timedelta(days=time.days or 0, hours=time.hours or 0)
    if time.not_before is not None:
        due = max(due, end_of(time.not_before, season) - timedelta(seconds=1))
    return Deadline(due)


def state_after_silence(policy: Policy, offer: OfferFacts, season: SeasonFacts) -> OfferState | None:
    """Return the state that an open offer takes after its deadline; ``None`` before it, and for other offers."""
    due = deadline_of(policy, offer, season).at
    if offer.state is not OfferState.OPEN or due is None or season.now <= due:
        return None
    return AFTER_SILENCE[policy.decide_in.silence]
