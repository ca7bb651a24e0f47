"""Evaluate conditions that count offers, upgrades, applications and shortlists. Count applications for a cap."""

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

# Stands for the level or the category of the drive in question.
OF_THE_DRIVE = "drive"
Item = TypeVar("Item")


def offers_total_below(condition: grammar.OffersTotalBelow, situation: Situation) -> Outcome:
    return _offers_below(condition.offers_total_below, condition.of, situation)


def offers_in_below(condition: grammar.OffersInBelow, situation: Situation) -> Outcome:
    return _offers_below(condition.offers_in_below, condition.of, situation)


def _offers_below(limit: int, block: OfferBlock, situation: Situation) -> Outcome:
    if not situation.offers_known:
        return Outcome(None, f"fewer than {limit} offers", "not on record", ("student.offers",))
    pool = situation.counting if block.states is None else situation.of_counting_sources(block.states)
    refunded: Sequence[OfferState] = block.refund or ()
    counted = [offer for offer in pool if offer.state not in refunded]
    bounds = _bounds(counted, lambda offer: in_group(offer, block, situation), lambda offer: f"offers[{offer.id}]")
    return _below(bounds, limit, "offers")


def upgrades_used_below(condition: grammar.UpgradesUsedBelow, situation: Situation) -> Outcome:
    limit = condition.upgrades_used_below
    used = upgrades_used(situation)
    if used is None:
        missing = ("student.offers",) if not situation.offers_known else ("level of each offer",)
        return Outcome(None, f"fewer than {limit} upgrades used", "not on record", missing)
    return _below(Bounds(used, used), limit, "upgrades used")


def upgrades_used(situation: Situation) -> int | None:
    """Return how many offers had a higher level than all earlier offers; ``None`` if this is not on record.

    The function considers offers that count for the policy, and offers that a later acceptance forfeited. Both are in
    the order of the record, which is the order of their announcement.
    """
    if situation.student.upgrades_used is not None:
        return situation.student.upgrades_used
    if not situation.offers_known:
        return None
    received = [offer for offer in situation.in_track if offer in situation.counting or offer.end_reason == "forfeited"]
    used = 0
    for number, offer in enumerate(received[1:], start=1):
        higher = all_of(situation.is_higher(offer, earlier) for earlier in received[:number])
        if higher is None:
            return None
        used += higher
    return used


def dream_choice_left(_condition: grammar.DreamChoiceLeft, situation: Situation) -> Outcome:
    """Return whether the drive is of the student's dream company, and the student has not applied there yet."""
    required, chosen, company = (
        "your dream company, not used yet",
        situation.student.dream_company,
        situation.drive.company,
    )
    if chosen is None:
        return Outcome(False, required, "no dream company named")
    if company is None:
        return Outcome(None, required, f"named: {chosen}", ("drive.company",))
    if not same_text(chosen, company):
        return Outcome(False, required, f"named: {chosen}")
    used = situation.student.dream_used if situation.student.dream_used is not None else _applied_to(chosen, situation)
    missing = ("student.applications",) if used is None else ()
    return Outcome(None if used is None else not used, required, "used" if used else f"named: {chosen}", missing)


def _applied_to(company: str, situation: Situation) -> Tri:
    if situation.student.applications is None:
        return None
    given_back = (ApplicationState.WITHDRAWN, ApplicationState.DRIVE_CANCELLED)
    others = [each for each in situation.student.applications if each.drive.id != situation.drive.id]
    return any(
        each.drive.company is not None and same_text(each.drive.company, company) and each.state not in given_back
        for each in others
    )


def applications_since_below(condition: grammar.ApplicationsSinceBelow, situation: Situation) -> Outcome:
    """Return whether fewer applications than the limit were made after the event. Without the event, none count."""
    limit = condition.applications_since_below
    if situation.student.applications is None:
        return Outcome(None, f"fewer than {limit} applications", "not on record", ("student.applications",))
    happened, since = _event(condition.since, situation)
    if happened is False:
        return Outcome(True, f"fewer than {limit} applications", "0")
    counted = _applications(condition.of, condition.of.refund or [], situation)

    def after(application: ApplicationFacts) -> Tri:
        grouped = in_group(application.drive, condition.of, situation)
        if condition.since == "season_start":
            return grouped
        if since is None or application.at is None:
            return False if grouped is False else None
        return all_of([grouped, application.at > since])

    bounds = _bounds(counted, after, lambda each: f"applications[{each.drive.id}]")
    if since is None and condition.since != "season_start" and bounds.low != bounds.high:
        bounds = Bounds(bounds.low, bounds.high, (f"moment of {condition.since}",))
    return _below(bounds, limit, "applications since")


def _event(event: str, situation: Situation) -> tuple[Tri, datetime | None]:
    if event == "season_start":
        return True, None
    if event == "penalty":
        return latest_penalty(situation)
    accepted = event.endswith("accepted")
    offers = (
        [offer for offer in situation.counting if offer.state is OfferState.ACCEPTED]
        if accepted
        else situation.counting
    )
    moments = [offer.accepted_at if accepted else offer.announced_at for offer in offers]
    happened, latest = situation.latest(moments)
    known = [moment for moment in moments if moment is not None]
    return (happened, min(known)) if event.startswith("first_") and latest else (happened, latest)


def shortlists_below(condition: grammar.ShortlistsBelow, situation: Situation) -> Outcome:
    limit = condition.shortlists_below
    if situation.student.applications is None:
        return Outcome(None, f"fewer than {limit} shortlists", "not on record", ("student.applications",))
    counted = _applications(condition.of, condition.of.refund or [], situation)
    bounds = _bounds(
        counted,
        lambda each: all_of([in_group(each.drive, condition.of, situation), each.shortlisted]),
        lambda each: f"applications[{each.drive.id}].shortlisted",
    )
    return _below(bounds, limit, "shortlists")


def capped_applications(cap: Cap, situation: Situation) -> Bounds | None:
    """Return how many applications count towards ``cap``, without the drive in question. ``None``: not on record."""
    if situation.student.applications is None:
        return None

    def counts(application: ApplicationFacts) -> Tri:
        grouped = in_group(application.drive, cap.of, situation)
        if cap.phase is None:
            return grouped
        phase = application.phase if application.phase is not None else application.drive.phase
        return all_of([grouped, None if phase is None else str(phase) == str(cap.phase)])

    counted = _applications(cap.of, cap.given_back, situation)
    return _bounds(counted, counts, lambda each: f"applications[{each.drive.id}]")


def _applications(
    block: ApplicationBlock, given_back: Sequence[ApplicationState], situation: Situation
) -> list[ApplicationFacts]:
    return [
        each
        for each in situation.student.applications or []
        if each.drive.id != situation.drive.id
        and (block.states is None or each.state in block.states)
        and each.state not in given_back
    ]


def in_group(item: Classified, block: OfferBlock | ApplicationBlock, situation: Situation) -> Tri:
    level = _with_drive_value(block.level, situation.level(situation.drive))
    category = _with_drive_value(block.category, situation.drive.category)
    return all_of([_one_of(level, situation.level(item)), _one_of(category, item.category)])


def _with_drive_value(names: list[str] | None, drive_value: str | None) -> list[str | None] | None:
    return None if names is None else [drive_value if name == OF_THE_DRIVE else name for name in names]


def _one_of(names: list[str | None] | None, actual: str | None) -> Tri:
    if names is None or (actual is not None and actual in names):
        return True
    return None if actual is None or None in names else False


def _bounds(items: Iterable[Item], counts: Callable[[Item], Tri], place: Callable[[Item], str]) -> Bounds:
    results = [(counts(item), item) for item in items]
    certain = sum(result is True for result, _ in results)
    unknown = [place(item) for result, item in results if result is None]
    return Bounds(certain, certain + len(unknown), tuple(unknown))


def _below(bounds: Bounds, limit: int, noun: str) -> Outcome:
    holds = bounds.below(limit)
    return Outcome(holds, f"fewer than {limit} {noun}", str(bounds), bounds.missing if holds is None else ())
