"""Decide on one application: return the result of each rule, and the verdict.

If an unknown fact can change the verdict, the verdict is ``undetermined``. It does not permit the application, and the
decision names the missing facts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contracts.policy.document import Cap, Deny, Policy
from services.api.eligibility.rules import Record, judged
from services.api.policy import messages
from services.api.policy.counting import capped_applications, in_group
from services.api.policy.evaluation import Judged, conditions_hold, judge_conditions
from services.api.policy.exceptions import KINDS, Kind, exception_for, with_exceptions
from services.api.policy.facts import Facts
from services.api.policy.outcome import Outcome, Tri, all_of, any_of, negated
from services.api.policy.situation import Situation


class Verdict(StrEnum):
    ALLOWED = "allowed"
    REFUSED = "refused"
    UNDETERMINED = "undetermined"


class Code(StrEnum):
    """The reason for a decision, or for the result of a rule."""

    NO_OFFER_COUNTS = "NO_OFFER_COUNTS"
    AFTER_OFFER_OPEN = "AFTER_OFFER_OPEN"
    ALTERNATIVE_HOLDS = "ALTERNATIVE_HOLDS"
    NOT_DENIED = "NOT_DENIED"
    WITHIN_LIMIT = "WITHIN_LIMIT"
    EXCEPTION_ALLOWS = "EXCEPTION_ALLOWS"
    EXCEPTION_DENIES = "EXCEPTION_DENIES"
    CRITERIA_MET = "CRITERIA_MET"
    CRITERIA_NOT_MET = "CRITERIA_NOT_MET"
    DENIED_BY_RULE = "DENIED_BY_RULE"
    AFTER_OFFER_CLOSED = "AFTER_OFFER_CLOSED"
    NO_ALTERNATIVE_HOLDS = "NO_ALTERNATIVE_HOLDS"
    CAP_REACHED = "CAP_REACHED"
    FACTS_MISSING = "FACTS_MISSING"


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule of the document. ``permits``: whether the rule permits the application."""

    rule: str
    code: Code
    permits: Tri
    text: str
    conditions: tuple[Judged, ...] = ()
    message: str = ""
    exception: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        if self.permits is not None:
            return ()
        return tuple(fact for condition in self.conditions for fact in condition.outcome.missing)


@dataclass(frozen=True, slots=True)
class Decision:
    """``decided_by``: the rule that decides; ``counted``: the ids of the offers that counted."""

    verdict: Verdict
    code: Code
    decided_by: str
    message: str
    reasons: tuple[RuleResult, ...]
    counted: tuple[str, ...]
    policy_version: int | None
    missing: tuple[str, ...] = ()
    exceptions_used: tuple[str, ...] = ()
    helpful_exceptions: tuple[str, ...] = field(default=())

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOWED


def judge_application(
    policy: Policy, facts: Facts, *, version: int | None = None, advise: bool = True, caps: bool = True
) -> Decision:
    """Return whether the student may apply to the drive now.

    ``advise``: also find exceptions that would permit a refused application. ``caps``: false for a running
    application, which the caps count already.
    """
    decision = _decide(policy, facts, version, caps=caps)
    if decision.allowed or not advise:
        return decision
    kinds = _helpful(lambda granted: _decide(policy, with_exceptions(facts, granted), version, caps=caps).allowed)
    return Decision(**{name: getattr(decision, name) for name in Decision.__slots__} | {"helpful_exceptions": kinds})


def _helpful(allows: Callable[[tuple[Kind, ...]], bool]) -> tuple[Kind, ...]:
    """Return a minimal set of exceptions that would permit the application; empty if no set does."""
    for kind in KINDS:
        if allows((kind,)):
            return (kind,)
    needed = KINDS
    if not allows(needed):
        return ()
    for kind in KINDS:
        fewer = tuple(other for other in needed if other != kind)
        if allows(fewer):
            needed = fewer
    return needed


def _decide(policy: Policy, facts: Facts, version: int | None, *, caps: bool) -> Decision:
    situation = Situation(policy, _with_penalties_lifted(facts))
    results = [*_criteria(facts), *_policy_rules(situation, facts)]
    if caps:
        results += [result for number, cap in enumerate(policy.caps) if (result := _cap(number, cap, situation, facts))]
    permits = all_of(result.permits for result in results)
    used = tuple(dict.fromkeys(result.exception for result in results if result.exception))
    counted = tuple(offer.id for offer in situation.counting)
    if permits is None:
        missing = tuple(dict.fromkeys(fact for result in results for fact in result.missing))
        first = next(result for result in results if result.permits is None)
        message = messages.undetermined(missing)
        return Decision(
            Verdict.UNDETERMINED,
            Code.FACTS_MISSING,
            first.rule,
            message,
            tuple(results),
            counted,
            version,
            missing,
            used,
        )
    deciding = _deciding(results, permits)
    verdict = Verdict.ALLOWED if permits else Verdict.REFUSED
    return Decision(verdict, deciding.code, deciding.rule, deciding.message, tuple(results), counted, version, (), used)


def _deciding(results: list[RuleResult], permits: bool) -> RuleResult:
    """Return the rule that the decision names: the first that refuses, or the rule about students with an offer."""
    if not permits:
        return next(result for result in results if result.permits is False)
    return next(
        result for result in results if result.rule == "after_offer" or result.rule.startswith(("allow", "policy"))
    )


def _with_penalties_lifted(facts: Facts) -> Facts:
    exception = exception_for("penalty", facts)
    if exception is None or exception.effect == "deny":
        return facts
    student = facts.student.model_copy(update={"penalties": [], "conduct": []})
    return facts.model_copy(update={"student": student})


def _excepted(rule: str, kind: Kind, facts: Facts) -> RuleResult | None:
    exception = exception_for(kind, facts)
    if exception is None:
        return None
    permits = exception.effect == "allow"
    code = Code.EXCEPTION_ALLOWS if permits else Code.EXCEPTION_DENIES
    message = messages.EXCEPTION_ALLOWS if permits else messages.EXCEPTION_DENIES
    return RuleResult(rule, code, permits, f"an exception {exception.effect}s ({kind})", (), message, exception.id)


def _criteria(facts: Facts) -> list[RuleResult]:
    """Return the results of the drive's own criteria. A policy cannot free a student from them; an exception can."""
    if facts.drive.criteria is None:
        return []
    if excepted := _excepted("criteria", "criteria", facts):
        return [excepted]
    attributes: dict[str, Any] = facts.student.attributes
    record = Record(**{name: attributes.get(name) for name in Record._fields})
    return [
        RuleResult(
            f"criteria.{verdict.criterion}",
            Code.CRITERIA_MET if verdict.reason is None else Code.CRITERIA_NOT_MET,
            verdict.reason is None,
            f"the drive asks for {verdict.criterion} {verdict.required}",
            (Judged(verdict.criterion, Outcome(verdict.reason is None, str(verdict.required), str(verdict.actual))),),
            "" if verdict.reason is None else messages.criteria(verdict.criterion, verdict.required, verdict.actual),
        )
        for verdict in judged(record, facts.drive.criteria)
    ]


def _policy_rules(situation: Situation, facts: Facts) -> list[RuleResult]:
    if excepted := _excepted("policy", "policy", facts):
        return [excepted]
    denials = [_deny(number, rule, situation) for number, rule in enumerate(situation.policy.deny)]
    penalty = exception_for("penalty", facts)
    if penalty is not None:
        text = f"an exception {penalty.effect}s (penalty)"
        permits = penalty.effect == "allow"
        code = Code.EXCEPTION_ALLOWS if permits else Code.EXCEPTION_DENIES
        message = "" if permits else messages.EXCEPTION_DENIES
        denials.append(RuleResult("penalty", code, permits, text, (), message, penalty.id))
    return [*denials, *_after_offer(situation)]


def _deny(number: int, rule: Deny, situation: Situation) -> RuleResult:
    conditions = judge_conditions(rule.when, situation)
    denies = all_of(condition.holds for condition in conditions)
    code = Code.DENIED_BY_RULE if denies else Code.FACTS_MISSING if denies is None else Code.NOT_DENIED
    message = messages.filled(rule.message, situation) if denies else ""
    return RuleResult(f"deny[{number}]", code, negated(denies), rule.message, conditions, message)


def _after_offer(situation: Situation) -> list[RuleResult]:
    """Return the result of the policy's rule about students with a counting offer."""
    has_offer = situation.has_counting()
    offers = (
        Judged("no offer counts", Outcome(negated(has_offer), "none", messages.held(situation), ("student.offers",))),
    )
    if has_offer is False:
        return [RuleResult("after_offer", Code.NO_OFFER_COUNTS, True, "no offer counts", offers, messages.ALLOWED)]
    if situation.policy.after_offer == "open":
        text = "students with an offer may apply"
        return [RuleResult("after_offer", Code.AFTER_OFFER_OPEN, True, text, offers, messages.ALLOWED)]
    if situation.policy.after_offer == "closed":
        code = Code.AFTER_OFFER_CLOSED if has_offer else Code.FACTS_MISSING
        text = "students with an offer may not apply"
        return [RuleResult("after_offer", code, negated(has_offer), text, offers, messages.closed(situation))]
    return [_alternatives(situation, has_offer, offers)]


def _alternatives(situation: Situation, has_offer: Tri, offers: tuple[Judged, ...]) -> RuleResult:
    alternatives = [judge_conditions(conditions, situation) for conditions in situation.policy.allow]
    results = [all_of(condition.holds for condition in alternative) for alternative in alternatives]
    flat = tuple(condition for alternative in alternatives for condition in alternative)
    permits = any_of([negated(has_offer), *results])
    if True in results:
        number = results.index(True)
        return RuleResult(
            f"allow[{number}]",
            Code.ALTERNATIVE_HOLDS,
            True,
            "an alternative holds",
            alternatives[number],
            messages.ALLOWED,
        )
    if permits is False:
        text = "none of the alternatives holds"
        return RuleResult("allow", Code.NO_ALTERNATIVE_HOLDS, False, text, flat, messages.no_alternative(situation))
    # Only alternatives that may still hold can change the result.
    undecided = tuple(
        condition
        for alternative, result in zip(alternatives, results, strict=True)
        if result is None
        for condition in alternative
    )
    missing = (*(offers if has_offer is None else ()), *undecided)
    return RuleResult("allow", Code.FACTS_MISSING, None, "an alternative may hold", missing)


def _cap(number: int, cap: Cap, situation: Situation, facts: Facts) -> RuleResult | None:
    """Return the result of a cap; ``None`` when the cap does not cover the drive or the student."""
    rule = f"caps[{number}]"
    phase = situation.drive.phase
    in_phase: Tri = True if cap.phase is None else None if phase is None else str(phase) == str(cap.phase)
    when = True if cap.when is None else conditions_hold(cap.when, situation)
    covers = all_of([in_phase, in_group(situation.drive, cap.of, situation), when])
    if covers is False:
        return None
    if excepted := _excepted(rule, "cap", facts):
        return excepted
    counted = capped_applications(cap, situation)
    below = None if counted is None else counted.below(cap.applications)
    permits = any_of([negated(covers), below])
    missing = ("student.applications",) if counted is None else counted.missing
    if covers is None:
        missing = (*missing, *(["drive.phase"] if in_phase is None else ["drive.level, drive.category or the student"]))
    code = Code.WITHIN_LIMIT if permits else Code.FACTS_MISSING if permits is None else Code.CAP_REACHED
    outcome = Outcome(
        permits, f"fewer than {cap.applications}", "not on record" if counted is None else str(counted), missing
    )
    text = f"at most {cap.applications} applications"
    message = "" if permits else messages.cap(cap, outcome.yours)
    return RuleResult(rule, code, permits, text, (Judged(text, outcome),), message)
