"""Conditions that count offers, upgrades, applications and shortlists, and the count behind a cap."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from contracts.policy import conditions as grammar
from contracts.policy.conditions import ApplicationBlock, OfferBlock
from contracts.policy.document import Cap
from contracts.policy.values import ApplicationState, OfferState
from services.api.policy.facts import ApplicationFacts, Classified
from services.api.policy.outcome import Bounds, Outcome, Tri, all_of
from services.api.policy.penalties import latest_penalty
from services.api.policy.situation import Situation
from services.api.policy.text_values import same_text

# In place of a level or a category: that of the drive in question.
OF_THE_DRIVE = "drive"
Item = TypeVar("Item")


def offers_total_below(condition: grammar.OffersTotalBelow, seen: Situation) -> Outcome:
    return _offers_below(condition.offers_total_below, condition.of, seen)


def offers_in_below(condition: grammar.OffersInBelow, seen: Situation) -> Outcome:
    return _offers_below(condition.offers_in_below, condition.of, seen)


def _offers_below(limit: int, block: OfferBlock, seen: Situation) -> Outcome:
    if not seen.offers_known:
        return Outcome(None, f"fewer than {limit} offers", "not on record", ("student.offers",))
    pool = seen.counting if block.states is None else seen.of_counting_sources(block.states)
    refunded: Sequence[OfferState] = block.refund or ()
    counted = [offer for offer in pool if offer.state not in refunded]
    bounds = _bounds(counted, lambda offer: in_group(offer, block, seen), lambda offer: f"offers[{offer.id}]")
    return _below(bounds, limit, "offers")


def upgrades_used_below(condition: grammar.UpgradesUsedBelow, seen: Situation) -> Outcome:
    limit = condition.upgrades_used_below
    used = upgrades_used(seen)
    if used is None:
        missing = ("student.offers",) if not seen.offers_known else ("level of each offer",)
        return Outcome(None, f"fewer than {limit} upgrades used", "not on record", missing)
    return _below(Bounds(used, used), limit, "upgrades used")


def upgrades_used(seen: Situation) -> int | None:
    """Return how many offers were of a higher level than every one before; ``None`` when that is not on record.

    Offers count here that count for the policy, and those that a later acceptance forfeited. They are in the order
    of the record, which is that of their announcement.
    """
    if seen.student.upgrades_used is not None:
        return seen.student.upgrades_used
    if not seen.offers_known:
        return None
    received = [offer for offer in seen.in_track if offer in seen.counting or offer.end_reason == "forfeited"]
    used = 0
    for number, offer in enumerate(received[1:], start=1):
        higher = all_of(seen.is_higher(offer, earlier) for earlier in received[:number])
        if higher is None:
            return None
        used += higher
    return used


def dream_choice_left(_condition: grammar.DreamChoiceLeft, seen: Situation) -> Outcome:
    """The drive is the one company that the student named in advance, and they have not applied there yet."""
    required, chosen, company = "your dream company, not used yet", seen.student.dream_company, seen.drive.company
    if chosen is None:
        return Outcome(False, required, "no dream company named")
    if company is None:
        return Outcome(None, required, f"named: {chosen}", ("drive.company",))
    if not same_text(chosen, company):
        return Outcome(False, required, f"named: {chosen}")
    used = seen.student.dream_used if seen.student.dream_used is not None else _applied_to(chosen, seen)
    missing = ("student.applications",) if used is None else ()
    return Outcome(None if used is None else not used, required, "used" if used else f"named: {chosen}", missing)


def _applied_to(company: str, seen: Situation) -> Tri:
    if seen.student.applications is None:
        return None
    given_back = (ApplicationState.WITHDRAWN, ApplicationState.DRIVE_CANCELLED)
    others = [each for each in seen.student.applications if each.drive.id != seen.drive.id]
    return any(
        each.drive.company is not None and same_text(each.drive.company, company) and each.state not in given_back
        for each in others
    )


def applications_since_below(condition: grammar.ApplicationsSinceBelow, seen: Situation) -> Outcome:
    """Count applications made after the event. Before the event has happened the count is zero."""
    limit = condition.applications_since_below
    if seen.student.applications is None:
        return Outcome(None, f"fewer than {limit} applications", "not on record", ("student.applications",))
    happened, since = _event(condition.since, seen)
    if happened is False:
        return Outcome(True, f"fewer than {limit} applications", "0")
    counted = _applications(condition.of, condition.of.refund or [], seen)

    def after(application: ApplicationFacts) -> Tri:
        grouped = in_group(application.drive, condition.of, seen)
        if condition.since == "season_start":
            return grouped
        if since is None or application.at is None:
            return False if grouped is False else None
        return all_of([grouped, application.at > since])

    bounds = _bounds(counted, after, lambda each: f"applications[{each.drive.id}]")
    if since is None and condition.since != "season_start" and bounds.low != bounds.high:
        bounds = Bounds(bounds.low, bounds.high, (f"moment of {condition.since}",))
    return _below(bounds, limit, "applications since")


def _event(event: str, seen: Situation) -> tuple[Tri, datetime | None]:
    if event == "season_start":
        return True, None
    if event == "penalty":
        return latest_penalty(seen)
    accepted = event.endswith("accepted")
    offers = [offer for offer in seen.counting if offer.state is OfferState.ACCEPTED] if accepted else seen.counting
    moments = [offer.accepted_at if accepted else offer.announced_at for offer in offers]
    happened, latest = seen.latest(moments)
    known = [moment for moment in moments if moment is not None]
    return (happened, min(known)) if event.startswith("first_") and latest else (happened, latest)


def shortlists_below(condition: grammar.ShortlistsBelow, seen: Situation) -> Outcome:
    limit = condition.shortlists_below
    if seen.student.applications is None:
        return Outcome(None, f"fewer than {limit} shortlists", "not on record", ("student.applications",))
    counted = _applications(condition.of, condition.of.refund or [], seen)
    bounds = _bounds(
        counted,
        lambda each: all_of([in_group(each.drive, condition.of, seen), each.shortlisted]),
        lambda each: f"applications[{each.drive.id}].shortlisted",
    )
    return _below(bounds, limit, "shortlists")


def capped_applications(cap: Cap, seen: Situation) -> Bounds | None:
    """Return how many applications count towards ``cap``, without the drive in question. ``None``: not on record."""
    if seen.student.applications is None:
        return None

    def counts(application: ApplicationFacts) -> Tri:
        grouped = in_group(application.drive, cap.of, seen)
        if cap.phase is None:
            return grouped
        phase = application.phase if application.phase is not None else application.drive.phase
        return all_of([grouped, None if phase is None else str(phase) == str(cap.phase)])

    counted = _applications(cap.of, cap.given_back, seen)
    return _bounds(counted, counts, lambda each: f"applications[{each.drive.id}]")


def _applications(
    block: ApplicationBlock, given_back: Sequence[ApplicationState], seen: Situation
) -> list[ApplicationFacts]:
    return [
        each
        for each in seen.student.applications or []
        if each.drive.id != seen.drive.id
        and (block.states is None or each.state in block.states)
        and each.state not in given_back
    ]


def in_group(item: Classified, block: OfferBlock | ApplicationBlock, seen: Situation) -> Tri:
    level = _named_or_own(block.level, seen.level(seen.drive))
    category = _named_or_own(block.category, seen.drive.category)
    return all_of([_one_of(level, seen.level(item)), _one_of(category, item.category)])


def _named_or_own(names: list[str] | None, own: str | None) -> list[str | None] | None:
    return None if names is None else [own if name == OF_THE_DRIVE else name for name in names]


def _one_of(names: list[str | None] | None, actual: str | None) -> Tri:
    if names is None or (actual is not None and actual in names):
        return True
    return None if actual is None or None in names else False


def _bounds(items: Iterable[Item], counts: Callable[[Item], Tri], place: Callable[[Item], str]) -> Bounds:
    results = [(counts(item), item) for item in items]
    certain = sum(result is True for result, _ in results)
    unknown = [place(item) for result, item in results if result is None]
    return Bounds(certain, certain + len(unknown), tuple(unknown))


def _below(bounds: Bounds, limit: int, what: str) -> Outcome:
    holds = bounds.below(limit)
    return Outcome(holds, f"fewer than {limit} {what}", str(bounds), bounds.missing if holds is None else ())
