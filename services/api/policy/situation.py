"""A student and a drive under a policy: levels, tracks, the offers that count, and the best of these offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from contracts.policy.document import Policy
from contracts.policy.values import Against, OfferState, Pay
from services.api.policy.facts import Classified, DriveFacts, Facts, OfferFacts, SeasonFacts, StudentFacts
from services.api.policy.outcome import Tri


def level_of(policy: Policy, item: Classified) -> str | None:
    """Return the level of a drive or an offer: the recorded one, else that of its pay. ``None``: not known."""
    if item.level is not None:
        return item.level if item.level in policy.level_ids() else None
    by_pay = [level for level in policy.levels if not level.assigned]
    if not by_pay or (len(by_pay) > 1 and by_pay[0].to_ctc is None):
        return None
    pay = pay_of(item, policy.level_pay)
    if pay is None:
        return None
    return next((level.id for level in by_pay if level.to_ctc is None or pay <= level.to_ctc), None)


def pay_of(item: Classified, pay: Pay) -> int | None:
    return item.ctc if pay is Pay.TOTAL else item.fixed


def in_same_track(policy: Policy, one: Classified, other: Classified) -> bool:
    return policy.track_of(one.type) == policy.track_of(other.type)


def named(offer: OfferFacts) -> str:
    return offer.company or offer.id


@dataclass(frozen=True)
class Situation:
    """A student and a drive, under a policy."""

    policy: Policy
    facts: Facts

    @property
    def drive(self) -> DriveFacts:
        return self.facts.drive

    @property
    def student(self) -> StudentFacts:
        return self.facts.student

    @property
    def season(self) -> SeasonFacts:
        return self.facts.season

    @property
    def now(self) -> datetime:
        return self.facts.season.now

    @cached_property
    def counting(self) -> list[OfferFacts]:
        """Return the counting offers in the drive's track, in the order of the record. Empty if none is on record."""
        return [offer for offer in self.in_track if offer.state in self.policy.counts.of(offer.source)]

    @cached_property
    def in_track(self) -> list[OfferFacts]:
        offers = self.student.offers or []
        return [offer for offer in offers if in_same_track(self.policy, offer, self.drive)]

    @property
    def offers_known(self) -> bool:
        return self.student.offers is not None

    def of_counting_sources(self, states: Sequence[OfferState]) -> list[OfferFacts]:
        """Return the offers in ``states`` of sources that the policy counts at all."""
        return [offer for offer in self.in_track if offer.state in states and self.policy.counts.of(offer.source)]

    def level(self, item: Classified) -> str | None:
        return level_of(self.policy, item)

    def rank(self, level: str | None) -> int | None:
        return self.policy.level_ids().index(level) if level in self.policy.level_ids() else None

    def possibly_best(self, pay: Pay) -> list[OfferFacts]:
        """Return the best counting offer, by level, then by pay. If facts are missing, return all that may be best."""
        if len(self.counting) < 2:
            return self.counting
        keys = [self._worth(offer, pay) for offer in self.counting]
        known = [key for key in keys if None not in key]
        if len(known) < len(keys):
            return self.counting
        best = max((level or 0, amount or 0) for level, amount in known)
        return [offer for offer, key in zip(self.counting, keys, strict=True) if key == best]

    def _worth(self, offer: OfferFacts, pay: Pay) -> tuple[int | None, int | None]:
        rank = self.rank(self.level(offer)) if self.policy.levels else 0
        return rank, pay_of(offer, pay)

    def compared_with(self, against: str, pay: Pay) -> list[OfferFacts]:
        return self.possibly_best(pay) if against == Against.BEST.value else self.counting

    def is_higher(self, one: Classified, other: Classified) -> Tri:
        """Return whether ``one`` has a higher level than ``other``. Without levels in the policy, compare the pay."""
        if not self.policy.levels:
            pay, less = pay_of(one, self.policy.level_pay), pay_of(other, self.policy.level_pay)
            return None if pay is None or less is None else pay > less
        rank, lower = self.rank(self.level(one)), self.rank(self.level(other))
        return None if rank is None or lower is None else rank > lower

    def has_counting(self) -> Tri:
        """Return whether an offer counts; ``None`` if the offers are not on record."""
        return bool(self.counting) if self.offers_known else None

    def latest(self, moments: Sequence[datetime | None]) -> tuple[Tri, datetime | None]:
        """Return whether the event happened, and the latest of ``moments``; ``(None, None)`` if not on record."""
        if not moments:
            return (False, None) if self.offers_known else (None, None)
        known = [moment for moment in moments if moment is not None]
        return (True, max(known)) if len(known) == len(moments) else (None, None)


def agreed(values: Sequence[Tri]) -> Tri:
    """Return the result on which all candidates agree; ``None`` if they differ."""
    return values[0] if len(set(values)) == 1 else None
