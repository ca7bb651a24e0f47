"""A student's standing, derived from their offers: placed, interning, or both."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.policy.values import OfferState, OfferType
from services.api.policy.facts import OfferFacts

PLACES = {OfferType.FTE, OfferType.INTERN_FTE, OfferType.INTERN_PPO}
INTERNS = {OfferType.INTERN, OfferType.INTERN_FTE, OfferType.INTERN_PPO}


@dataclass(frozen=True, slots=True)
class PlacementStanding:
    placed: bool
    interning: bool


def standing_of(offers: Iterable[OfferFacts]) -> PlacementStanding:
    """Return the standing by accepted offers.

    With an internship that may become a full-time job (INTERN_PPO), a student is both placed and interning. If the
    company decides against the job, the offer counts as an internship only.
    """
    accepted = [offer for offer in offers if offer.state is OfferState.ACCEPTED]
    placed = any(
        (offer.type in PLACES and offer.conversion != "not_converted")
        or (offer.type is OfferType.INTERN and offer.conversion == "converted")
        for offer in accepted
    )
    return PlacementStanding(placed, any(offer.type in INTERNS for offer in accepted))
