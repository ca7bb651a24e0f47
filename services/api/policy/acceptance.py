"""Decide whether a student may accept an offer, and what an acceptance or an announcement ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.policy.document import Policy
from contracts.policy.values import ApplicationState, OfferState
from services.api.policy.deadlines import deadline_of
from services.api.policy.decision import Code, Verdict, judge_application
from services.api.policy.facts import ApplicationFacts, DriveFacts, Facts, OfferFacts, SeasonFacts, StudentFacts
from services.api.policy.holding import LimitResult, accepted_offers, judge_hold
from services.api.policy.outcome import Tri, negated
from services.api.policy.situation import Situation, in_same_track


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A running application that ends. ``because``: the code of the decision against it, or the name of the rule."""

    drive: str
    because: str


@dataclass(frozen=True, slots=True)
class Consequences:
    """``unclear``: drives that cannot be decided on, because facts are missing. Applications to them keep running."""

    forfeits: tuple[str, ...] = ()
    withdraws: tuple[Withdrawal, ...] = ()
    keeps: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Acceptance:
    """``give_up``: how many of the accepted offers ``choose_from`` the student must give up to accept this offer."""

    verdict: Verdict
    code: str
    message: str
    policy_version: int | None
    limits: tuple[LimitResult, ...] = ()
    choose_from: tuple[str, ...] = ()
    give_up: int = 0
    missing: tuple[str, ...] = ()
    consequences: Consequences = field(default_factory=Consequences)


def judge_acceptance(
    policy: Policy,
    season: SeasonFacts,
    student: StudentFacts,
    offer_id: str,
    *,
    give_up: Sequence[str] = (),
    version: int | None = None,
) -> Acceptance:
    """Return whether the student may accept the offer now, and what accepting it withdraws and forfeits.

    ``give_up``: accepted offers that the student chose to give up for it.
    """
    offer = next((each for each in student.offers or () if each.id == offer_id), None)
    if offer is None:
        return Acceptance(Verdict.REFUSED, "OFFER_UNKNOWN", "There is no such offer.", version)
    if refusal := _not_acceptable(policy, season, offer, version):
        return refusal
    situation = Situation(policy, Facts(season=season, student=student, drive=drive_of(offer)))
    if OfferState.ACCEPTED not in policy.counts.of(offer.source):
        return Acceptance(Verdict.ALLOWED, "ACCEPTABLE", f"Offers of {offer.source} do not count.", version)
    held = [each for each in accepted_offers(situation) if each.id != offer.id]
    forfeits, uncertain = _forfeited(policy, situation, held)
    remaining = [each for each in held if each not in forfeits and each.id not in give_up]
    limits = judge_hold(policy, situation, remaining)
    if refusal := _over_limit(limits, uncertain, version):
        return refusal
    ended = {each.id for each in forfeits} | {each.id for each in held if each.id in give_up}
    after = _after(student, offer, OfferState.ACCEPTED, season, ended)
    consequences = _consequences(policy, season, after, offer, policy.on_accept.withdraw)
    consequences = Consequences(
        tuple(sorted(ended)), consequences.withdraws, consequences.keeps, (*consequences.unclear, *uncertain)
    )
    message = "You may accept this offer."
    return Acceptance(Verdict.ALLOWED, "ACCEPTABLE", message, version, tuple(limits), consequences=consequences)


def announcement_consequences(
    policy: Policy, season: SeasonFacts, student: StudentFacts, offer: OfferFacts
) -> Consequences:
    """Return what announcing ``offer`` withdraws (``on_announce``)."""
    if OfferState.ANNOUNCED not in policy.counts.of(offer.source) and OfferState.OPEN not in policy.counts.of(
        offer.source
    ):
        return Consequences()
    known = student.offers or []
    added = student.model_copy(update={"offers": [*[each for each in known if each.id != offer.id], offer]})
    after = _after(added, offer, OfferState.OPEN, season, set())
    return _consequences(policy, season, after, offer, policy.on_announce.withdraw)


def drive_of(offer: OfferFacts) -> DriveFacts:
    """Return the drive that ``offer`` comes from, as far as the offer records it."""
    shared = {name: getattr(offer, name) for name in DriveFacts.model_fields if name in OfferFacts.model_fields}
    return DriveFacts.model_construct(**{**shared, "id": offer.drive or offer.id})


def _not_acceptable(policy: Policy, season: SeasonFacts, offer: OfferFacts, version: int | None) -> Acceptance | None:
    if offer.state is not OfferState.OPEN:
        return Acceptance(Verdict.REFUSED, "OFFER_NOT_OPEN", f"This offer is {offer.state}, not open.", version)
    deadline = deadline_of(policy, offer, season)
    if deadline.missing:
        message = "The deadline is not on record."
        return Acceptance(Verdict.UNDETERMINED, Code.FACTS_MISSING, message, version, missing=deadline.missing)
    if deadline.at is not None and season.now > deadline.at:
        closed = deadline.at.astimezone(season.timezone)
        return Acceptance(
            Verdict.REFUSED, "DECIDED_TOO_LATE", f"This offer closed at {closed:%Y-%m-%d %H:%M}.", version
        )
    return None


def _forfeited(
    policy: Policy, situation: Situation, held: Sequence[OfferFacts]
) -> tuple[list[OfferFacts], tuple[str, ...]]:
    """Return the offers that the acceptance forfeits, and the missing facts that leave this open for other offers."""
    match policy.on_accept.forfeit_held:
        case "all":
            return list(held), ()
        case "lower":
            higher = [(offer, situation.is_higher(situation.drive, offer)) for offer in held]
            lower = [offer for offer, result in higher if result]
            return lower, tuple(f"offers[{offer.id}].level" for offer, result in higher if result is None)
        case _:
            return [], ()


def _over_limit(limits: list[LimitResult], uncertain: tuple[str, ...], version: int | None) -> Acceptance | None:
    """Return a refusal, or an undetermined decision, if a limit may not permit another offer; else ``None``."""
    reached = [limit for limit in limits if limit.permits is False]
    unknown = [limit for limit in limits if limit.permits is None]
    # If an offer of unknown level is forfeited, a limit that is reached now may permit another offer.
    if (reached and uncertain) or (unknown and not any(limit.beyond == "refuse" for limit in reached)):
        missing = (*uncertain, *(fact for limit in unknown for fact in limit.held.missing)) or ("levels of the offers",)
        message = f"This cannot be decided yet. Not on record: {', '.join(missing)}."
        return Acceptance(
            Verdict.UNDETERMINED, Code.FACTS_MISSING, message, version, tuple(limits), missing=tuple(missing)
        )
    if not reached:
        return None
    first = next((limit for limit in reached if limit.beyond == "refuse"), reached[0])
    message = f"You may hold {first.limit}, and you hold {first.held} ({', '.join(first.offers)})."
    if first.beyond == "refuse" or not first.offers or first.limit == 0:
        return Acceptance(Verdict.REFUSED, first.code, message, version, tuple(limits))
    number = max(limit.held.low - limit.limit + 1 for limit in reached)
    choices = tuple(dict.fromkeys(offer for limit in reached for offer in limit.offers))
    message += f" Choose {number} to give up."
    return Acceptance(Verdict.REFUSED, "MUST_CHOOSE", message, version, tuple(limits), choices, number)


def _after(
    student: StudentFacts, offer: OfferFacts, state: OfferState, season: SeasonFacts, ended: set[str]
) -> StudentFacts:
    """Return the facts of the student after ``offer`` got the ``state`` and the offers ``ended`` were forfeited."""

    def changed(each: OfferFacts) -> OfferFacts:
        if each.id == offer.id:
            moment = {"accepted_at": season.now} if state is OfferState.ACCEPTED else {}
            return each.model_copy(update={"state": state, **moment})
        if each.id in ended:
            return each.model_copy(update={"state": OfferState.ENDED, "end_reason": "forfeited"})
        return each

    return student.model_copy(update={"offers": [changed(each) for each in student.offers or []]})


def _consequences(
    policy: Policy, season: SeasonFacts, after: StudentFacts, offer: OfferFacts, rule: str
) -> Consequences:
    withdraws, keeps, unclear = [], [], []
    own_drive = offer.drive or offer.id
    for application in after.applications or []:
        if application.state is not ApplicationState.ACTIVE or application.drive.id == own_drive:
            continue
        ends, because = _ends(policy, season, after, offer, application, rule)
        if ends is None:
            unclear.append(application.drive.id)
        elif ends and _kept(policy.on_accept.keep, offer, application):
            keeps.append(application.drive.id)
        elif ends:
            withdraws.append(Withdrawal(application.drive.id, because))
    return Consequences((), tuple(withdraws), tuple(keeps), tuple(unclear))


def _ends(
    policy: Policy,
    season: SeasonFacts,
    after: StudentFacts,
    offer: OfferFacts,
    application: ApplicationFacts,
    rule: str,
) -> tuple[Tri, str]:
    """Return whether the application ends by ``rule``, and why: a decision's code or the rule's name."""
    drive = application.drive
    if rule == "disallowed":
        facts = Facts(season=season, student=after, drive=drive.model_copy(update={"criteria": None}))
        decision = judge_application(policy, facts, advise=False, caps=False)
        allowed: Tri = None if decision.verdict is Verdict.UNDETERMINED else decision.allowed
        return negated(allowed), decision.code.value
    if rule == "none" or not in_same_track(policy, offer, drive):
        return False, rule
    if rule == "all":
        return True, rule
    situation = Situation(policy, Facts(season=season, student=after, drive=drive))
    return situation.is_higher(offer, drive), rule


def _kept(keep: str, offer: OfferFacts, application: ApplicationFacts) -> bool:
    """Return whether the application's drive is on the day, or in the session, of the accepted offer's drive."""
    drive = application.drive
    same_day = offer.day is not None and offer.day == drive.day
    if keep == "same_session":
        return same_day and offer.session is not None and offer.session == drive.session
    return keep == "same_day" and same_day
