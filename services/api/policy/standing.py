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

    An internship with a later full-time decision is both at first. When the company decides against it, the student
    is no longer placed by that offer, and the internship stays.
    """
    accepted = [offer for offer in offers if offer.state is OfferState.ACCEPTED]
    placed = any(
        (offer.type in PLACES and offer.conversion != "not_converted")
        or (offer.type is OfferType.INTERN and offer.conversion == "converted")
        for offer in accepted
    )
    return PlacementStanding(placed, any(offer.type in INTERNS for offer in accepted))
