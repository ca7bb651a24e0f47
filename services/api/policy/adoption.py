"""Find errors that prevent the adoption of a valid policy, and warnings for its author."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contracts.policy.document import Cap, Counts, Penalty, Policy
from contracts.policy.values import ApplicationState, OfferState, OfferType, Source
from services.api.policy.constant_conditions import constant_conditions
from services.api.policy.facts import DriveFacts, SeasonFacts
from services.api.policy.located import Located, Path, Problem
from services.api.policy.names import HELD_NAMES, unknown_names, unrecorded_attributes

Findings = Iterator[tuple[Path, str]]


@dataclass(frozen=True, slots=True)
class SeasonNames:
    """The drives of a season, and the attributes of students that it records."""

    season: SeasonFacts
    drives: Sequence[DriveFacts]
    attributes: frozenset[str]


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """``errors`` prevent adoption; ``warnings`` do not."""

    errors: list[Problem]
    warnings: list[Problem]


def adoption_report(policy: Policy, document: Located, names: SeasonNames | None = None) -> AdoptionReport:
    """Return the problems of ``policy`` in the season of ``names``; without ``names``, the problems in every season."""
    season, drives = (names.season, names.drives) if names else (None, ())
    recorded = names.attributes if names else None
    errors = [
        *_levels(policy),
        *_tracks(policy),
        *_counts(policy.counts),
        *_after_offer(policy),
        *_caps(policy.caps),
        *_holds(policy),
        *_penalties(policy.penalties),
        *unknown_names(policy, recorded),
        *constant_conditions(policy, season, drives),
    ]
    warnings = [*_redundant(policy), *(unrecorded_attributes(policy) if recorded is None else ())]
    return AdoptionReport(_problems(errors, document), _problems(warnings, document))


def _problems(findings: list[tuple[Path, str]], document: Located) -> list[Problem]:
    problems = dict.fromkeys(document.problem(path, text) for path, text in findings)
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _levels(policy: Policy) -> Findings:
    ids = policy.level_ids()
    for number, level in enumerate(policy.levels):
        if level.id in ids[:number]:
            yield ("levels", number, "id"), f"there are two levels {level.id!r}"
        if level.id in (*HELD_NAMES, "drive"):
            yield ("levels", number, "id"), f"{level.id!r} means something else in conditions: choose another name"
        if level.assigned and level.to_ctc is not None:
            yield ("levels", number, "to_ctc"), "a level that staff assign has no pay limit: remove to_ctc or assigned"
    by_pay = [(number, level) for number, level in enumerate(policy.levels) if not level.assigned]
    limits = [(number, level.to_ctc) for number, level in by_pay if level.to_ctc is not None]
    if not limits:
        return
    for (_, below), (number, above) in itertools.pairwise(limits):
        if above <= below:
            yield ("levels", number, "to_ctc"), f"overlaps the level before: {above} must be more than {below}"
    for number, level in by_pay[:-1]:
        if level.to_ctc is None:
            yield (
                ("levels", number),
                f"level {level.id!r} has no to_ctc and is not the highest: every higher one is unreachable",
            )
    number, highest = by_pay[-1]
    if highest.to_ctc is not None:
        yield (
            ("levels", number, "to_ctc"),
            f"no level has pay above {highest.to_ctc}: leave to_ctc out of the highest level",
        )


def _tracks(policy: Policy) -> Findings:
    if not policy.tracks:
        return
    for offer_type in OfferType:
        names = [name for name, types in policy.tracks.items() if offer_type in types]
        if len(names) > 1:
            yield ("tracks", names[1]), f"{offer_type} is in {' and '.join(names)}: it would be judged twice"
        if not names:
            yield ("tracks",), f"{offer_type} is in no track: add it to one"
    for number, category in enumerate(policy.categories):
        if category in policy.categories[:number]:
            yield ("categories", number), f"there are two categories {category!r}"


def _counts(counts: Counts) -> Findings:
    for source in Source:
        states = counts.of(source)
        path: Path = ("counts", source.value)
        if OfferState.OPEN in states and OfferState.ACCEPTED not in states:
            yield path, "an offer would stop counting when it is accepted: add accepted"
        if OfferState.ANNOUNCED in states and OfferState.OPEN not in states:
            yield path, "an offer would stop counting when it opens: add open"
        if len(set(states)) < len(states):
            yield path, "repeats a state"


def _after_offer(policy: Policy) -> Findings:
    if policy.after_offer == "rules" and not policy.allow:
        yield ("after_offer",), "says rules, and there is no allow: say closed, or add allow"
    if policy.after_offer != "rules" and policy.allow:
        yield ("allow",), f"is never used, because after_offer says {policy.after_offer}: say rules, or remove allow"
    for number, rule in enumerate(policy.deny):
        for earlier in policy.deny[:number]:
            if earlier.when == rule.when:
                yield ("deny", number), "has the conditions of an earlier rule, and another message"
        for other, conditions in enumerate(policy.allow):
            if all(each in conditions for each in rule.when):
                yield ("allow", other), f"can never hold: deny[{number}] denies whenever it holds"


def _caps(caps: Sequence[Cap]) -> Findings:
    for number, cap in enumerate(caps):
        if cap.refund is not None and cap.of.refund is not None:
            yield ("caps", number, "refund"), "is given twice, here and in `of`"
        for state in (ApplicationState.WITHDRAWN, ApplicationState.DRIVE_CANCELLED):
            if cap.of.states is not None and state not in cap.of.states and state not in cap.given_back:
                text = f"leaves out {state}, and refund does not give it back: does it count or not?"
                yield ("caps", number, "of", "states"), text
        for other in caps[:number]:
            if (other.phase, other.of, other.when) == (cap.phase, cap.of, cap.when) and other != cap:
                yield ("caps", number), "limits the same applications as an earlier cap, and differs from it"


def _holds(policy: Policy) -> Findings:
    for number, hold in enumerate(policy.hold):
        for other in policy.hold[:number]:
            if other.when == hold.when:
                yield ("hold", number), "is for the same students as an earlier rule: write one"
            elif other.beyond != hold.beyond and (other.when is None or hold.when is None):
                yield ("hold", number, "beyond"), f"says {hold.beyond}, and one for all students says {other.beyond}"
        if hold.total == 0 or hold.per_level == 0 or hold.per_category == 0:
            yield ("hold", number), "permits no offer at all"


def _penalties(penalties: Sequence[Penalty]) -> Findings:
    for number, rule in enumerate(penalties):
        same = (rule.on, rule.times, rule.scope, rule.consecutive)
        for other in penalties[:number]:
            if (other.on, other.times, other.scope, other.consecutive) == same:
                yield ("penalties", number), "punishes the same acts as an earlier rule: write one"
        if rule.notice and "late_withdrawal" not in rule.on:
            yield ("penalties", number, "notice"), "says when a withdrawal is late, and `on` has no late_withdrawal"


def _redundant(policy: Policy) -> Findings:
    for number, conditions in enumerate(policy.allow):
        for other, earlier in enumerate(policy.allow):
            wider = all(each in conditions for each in earlier)
            if other != number and wider and (len(earlier) < len(conditions) or other < number):
                yield ("allow", number), f"never matters: allow[{other}] holds whenever it does"
    if policy.on_accept.keep != "none" and policy.on_accept.withdraw == "none":
        yield ("on_accept", "keep"), "has no effect: nothing is withdrawn"
    for source in Source:
        states = policy.counts.of(source)
        if states and not {OfferState.OPEN, OfferState.ACCEPTED} & set(states):
            yield ("counts", source.value), "counts an offer only after it is over"
    if not policy.hold:
        yield ("hold",), "there is no limit on accepted offers"
