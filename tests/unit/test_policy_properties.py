"""Properties of the policy engine that hold for every valid document and any facts."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.policy.document import Policy
from contracts.policy.values import ApplicationState, DriveClass, OfferState, OfferType, Source
from services.api.policy.acceptance import judge_acceptance
from services.api.policy.adoption import adoption_report
from services.api.policy.decision import Verdict, judge_application
from services.api.policy.document_text import policy_text
from services.api.policy.facts import Facts
from services.api.policy.located import Located
from services.api.policy.parsing import parse_policy

LEVELS, CATEGORIES, COMPANIES = ["base", "dream", "super"], ["it", "core"], ["Acme", "Other"]
PAY = st.integers(0, 20).map(lambda lakhs: lakhs * 100_000)
DAYS = st.dates(date(2026, 10, 1), date(2026, 12, 31)).map(str)
MOMENTS = st.integers(0, 90 * 24).map(
    lambda hours: (datetime(2026, 10, 1, tzinfo=UTC) + timedelta(hours=hours)).isoformat()
)
COUNTS = st.integers(1, 4)
SETTINGS = settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


OFFER_BLOCK = optional(
    level=some([*LEVELS, "drive"]), category=some([*CATEGORIES, "drive"]),
    states=some([each.value for each in OfferState]), refund=some([each.value for each in OfferState]),
)  # fmt: skip
APPLICATION_BLOCK = st.fixed_dictionaries(
    {"refund": st.lists(st.sampled_from(["withdrawn", "drive_cancelled", "rejected"]), unique=True)},
    optional={"level": some([*LEVELS, "drive"]), "category": some(CATEGORIES)},
)
FILTER = {
    "level": some(LEVELS), "type": some([each.value for each in OfferType]), "category": some(CATEGORIES),
    "class": some([each.value for each in DriveClass]), "joins_from": DAYS,
}  # fmt: skip
HELD_FILTER = optional(**FILTER, source=some([each.value for each in Source]), ctc_at_most=PAY)
DRIVE_FILTER = optional(**FILTER, day=some(["2026-11-01", "2026-12-01"])).filter(bool)
TO = st.sampled_from(["best_held", "every_held"])
LEAVES: list[st.SearchStrategy[Any]] = [
    st.fixed_dictionaries(
        {
            "level_above": optional(
                of=st.sampled_from(["best_held", "every_held", "any_held", *LEVELS]),
                at_most=st.sampled_from([1, 2, "dream"]),
            )
        }
    ),
    st.just("same_level"),
    st.just("dream_choice_left"),
    st.fixed_dictionaries({"category_in": some(CATEGORIES)}),
    st.fixed_dictionaries({"ctc_ratio_at_least": st.sampled_from(["1", "1.5", "2.25"]), "to": TO}),
    st.fixed_dictionaries({"ctc_delta_at_least": PAY, "to": TO}),
    st.fixed_dictionaries({"ctc_at_least": PAY}, optional={"pay": st.sampled_from(["fixed", "total"])}),
    st.fixed_dictionaries(
        {"held": st.one_of(HELD_FILTER.map(lambda f: {"any": f}), HELD_FILTER.map(lambda f: {"every": f}))}
    ),
    st.fixed_dictionaries({"drive": DRIVE_FILTER}),
    st.fixed_dictionaries({"offers_total_below": COUNTS}, optional={"of": OFFER_BLOCK}),
    st.fixed_dictionaries(
        {"offers_in_below": COUNTS, "of": OFFER_BLOCK.map(lambda block: {"level": "drive", **block})}
    ),
    st.fixed_dictionaries({"upgrades_used_below": COUNTS}),
    st.fixed_dictionaries(
        {
            "applications_since_below": COUNTS,
            "since": st.sampled_from(
                ["offer_announced", "offer_accepted", "first_offer_announced", "penalty", "season_start"]
            ),
            "of": APPLICATION_BLOCK,
        }
    ),
    st.fixed_dictionaries({"shortlists_below": COUNTS, "of": APPLICATION_BLOCK}),
    st.fixed_dictionaries({"cohort_placed_at_least": st.just({"cohort": "mates", "percent": "60"})}),
    st.fixed_dictionaries(
        {"penalty_active": st.sampled_from(["any", "season", "category", "level", "company", "next_drives"])}
    ),
    st.fixed_dictionaries({"student_in": st.just({"field": "branch", "values": ["CSE"]})}),
    st.fixed_dictionaries({"student_number": st.just({"field": "cgpa", "at_least": "7.5"})}),
    st.fixed_dictionaries(
        {
            "within": st.one_of(
                st.fixed_dictionaries({"of": st.sampled_from(["now", "drive_opened", "joining"]), "from": DAYS}),
                st.fixed_dictionaries(
                    {"of": st.sampled_from(["offer_announced", "joining", "drive_opened"]), "days": COUNTS}
                ),
            )
        }
    ),
]
CONDITION = st.recursive(
    st.one_of(LEAVES),
    lambda inner: st.fixed_dictionaries({"not": st.lists(inner, min_size=1, max_size=2)}),
    max_leaves=3,
)
CONDITIONS = st.lists(CONDITION, min_size=1, max_size=3)
STATES = st.lists(st.sampled_from([each.value for each in OfferState]), unique=True)
DENY = st.fixed_dictionaries({"when": CONDITIONS, "message": st.just("No: {until} {level}")})
PENALTY = st.fixed_dictionaries(
    {
        "on": some(["absent", "late_withdrawal", "reneged"]),
        "times": st.integers(1, 2),
        "scope": st.sampled_from(["season", "category", "level", "company", {"next_drives": 2}, {"category": "it"}]),
        "until": st.sampled_from(["season_end", {"days": 10}, "2026-12-01"]),
    },
    optional={"consecutive": st.booleans()},
)
DOCUMENT = st.fixed_dictionaries(
    {
        "levels": st.just([{"id": "base", "to_ctc": 600000}, {"id": "dream", "to_ctc": 1200000}, {"id": "super"}]),
        "categories": st.just(CATEGORIES),
        "counts": st.fixed_dictionaries({source.value: STATES for source in Source}),
        "after_offer": st.sampled_from(["open", "closed", "rules", "rules"]),
        "allow": st.lists(CONDITIONS, max_size=3),
        "deny": st.lists(DENY, max_size=2),
        "decide_in": st.just({"CAMPUS": {"days": 3}, "silence": "decline"}),
        "cohorts": st.just({"mates": {"same": ["branch"], "of": "registered", "counts": ["accepted"]}}),
    },
    optional={
        "tracks": st.just({"intern": ["INTERN"], "fte": ["FTE", "INTERN_FTE", "INTERN_PPO"]}),
        "hold": optional(total=COUNTS, per_level=COUNTS, per_category=st.just({"it": 1})).filter(bool).map(
            lambda hold: {**hold, "beyond": "choose"}
        ),
        "on_accept": st.fixed_dictionaries(
            {
                "withdraw": st.sampled_from(["disallowed", "lower", "all", "none"]),
                "forfeit_held": st.sampled_from(["lower", "all", "none"]),
            }
        ),
        "caps": st.lists(st.fixed_dictionaries({"applications": COUNTS, "refund": st.just(["withdrawn"])}), max_size=1),
        "penalties": st.lists(PENALTY, max_size=2),
    },
)  # fmt: skip
SHARED: dict[str, st.SearchStrategy[Any]] = {
    "company": st.sampled_from(COMPANIES), "type": st.sampled_from([each.value for each in OfferType]), "ctc": PAY,
    "class": st.sampled_from([each.value for each in DriveClass]), "category": st.sampled_from(CATEGORIES),
    "fixed": PAY,
    "level": st.sampled_from(LEVELS), "joining": DAYS, "day": DAYS,
}  # fmt: skip
DRIVE = optional(**SHARED, opened_at=MOMENTS)
OFFERS = st.lists(
    st.fixed_dictionaries(
        {
            "state": st.sampled_from([each.value for each in OfferState]),
            "source": st.sampled_from([each.value for each in Source]),
        },
        optional={**SHARED, "announced_at": MOMENTS, "accepted_at": MOMENTS},
    ),
    max_size=3,
).map(lambda offers: [{**offer, "id": f"o{number}"} for number, offer in enumerate(offers)])


def _numbered(application: dict[str, Any], number: int) -> dict[str, Any]:
    return {**application, "drive": {**application["drive"], "id": f"d{number}"}}


APPLICATIONS = st.lists(
    st.fixed_dictionaries(
        {"drive": DRIVE, "state": st.sampled_from([each.value for each in ApplicationState])},
        optional={"at": MOMENTS, "shortlisted": st.booleans()},
    ),
    max_size=3,
).map(lambda applications: [_numbered(application, number) for number, application in enumerate(applications)])
CONDUCT = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["present", "absent", "withdrawn", "reneged"]), "at": MOMENTS},
        optional={"category": st.sampled_from(CATEGORIES), "company": st.sampled_from(COMPANIES)},
    ),
    max_size=3,
)
STUDENT = optional(
    attributes=optional(branch=st.sampled_from(["CSE", "EE"]), cgpa=st.integers(5, 10)),
    offers=st.one_of(st.none(), OFFERS, OFFERS),
    applications=st.one_of(st.none(), APPLICATIONS),
    conduct=st.one_of(st.none(), CONDUCT),
    dream_company=st.sampled_from(COMPANIES),
    cohorts=st.just({"mates": {"placed": 6, "of": 10}}),
)
FACTS = st.builds(
    lambda student, drive: {
        "season": {"now": "2026-11-10T12:00:00Z", "end": "2027-05-31"},
        "student": student,
        "drive": drive,
    },
    STUDENT,
    DRIVE,
)


@SETTINGS
@given(DOCUMENT, FACTS)
def test_every_valid_document_gives_a_decision_for_any_facts(
    document: dict[str, Any], given_facts: dict[str, Any]
) -> None:
    policy, facts = Policy.model_validate(document), Facts.model_validate(given_facts)
    decision = judge_application(policy, facts)
    assert decision.message
    assert bool(decision.missing) is (decision.verdict is Verdict.UNDETERMINED)
    assert {result.permits for result in decision.reasons} <= {True, False, None}
    for offer in facts.student.offers or []:
        assert judge_acceptance(policy, facts.season, facts.student, offer.id).message
    assert policy_text(policy)
    adoption_report(policy, Located(document))


@SETTINGS
@given(DOCUMENT, FACTS, st.data())
def test_removing_a_fact_never_reverses_a_verdict(
    document: dict[str, Any], given_facts: dict[str, Any], data: st.DataObject
) -> None:
    """Without a fact, the verdict is the same or undetermined: an unknown fact never counts as "no" or as zero."""
    policy = Policy.model_validate(document)
    known = judge_application(policy, Facts.model_validate(given_facts), advise=False).verdict
    student, drive = given_facts["student"], given_facts["drive"]
    forgettable = [("drive", name) for name in drive if name != "type"]
    forgettable += [("attributes", name) for name in student.get("attributes", {})]
    forgettable += [("student", name) for name in ("offers", "applications", "conduct") if student.get(name)]
    if not forgettable:
        return
    part, name = data.draw(st.sampled_from(forgettable))
    forgotten: dict[str, Any] = json.loads(json.dumps(given_facts))
    if part == "student":
        forgotten["student"][name] = None
    elif part == "attributes":
        forgotten["student"]["attributes"].pop(name)
    else:
        forgotten["drive"].pop(name)
        if name == "level":  # Without an assigned level, the pay gives the level: so the pay must be unknown too.
            forgotten["drive"].pop("ctc", None)
    verdict = judge_application(policy, Facts.model_validate(forgotten), advise=False).verdict
    assert verdict in (known, Verdict.UNDETERMINED)


@SETTINGS
@given(DOCUMENT)
def test_yaml_and_json_of_one_document_give_the_same_policy(document: dict[str, Any]) -> None:
    from_json, _ = parse_policy(json.dumps(document).encode())
    from_yaml, _ = parse_policy(yaml.safe_dump(json.loads(json.dumps(document))).encode())
    assert from_json == from_yaml == Policy.model_validate(document)
    assert Policy.model_validate_json(from_json.model_dump_json(by_alias=True, exclude_unset=True)) == from_json


@SETTINGS
@given(DOCUMENT, FACTS)
def test_granting_the_suggested_exceptions_allows_the_application(
    document: dict[str, Any], given_facts: dict[str, Any]
) -> None:
    policy, facts = Policy.model_validate(document), Facts.model_validate(given_facts)
    decision = judge_application(policy, facts)
    granted = [{"effect": "allow", "of": kind} for kind in decision.helpful_exceptions]
    student = {**given_facts["student"], "exceptions": granted}
    decision_with_exceptions = judge_application(policy, Facts.model_validate({**given_facts, "student": student}))
    assert decision_with_exceptions.allowed is (decision.allowed or bool(granted))


@SETTINGS
@given(DOCUMENT, FACTS)
def test_acceptances_never_exceed_the_limit(document: dict[str, Any], given_facts: dict[str, Any]) -> None:
    """Accept every acceptable open offer, one after the other. The total of held offers stays within the limit."""
    policy, facts = Policy.model_validate(document), Facts.model_validate(given_facts)
    if not policy.hold or policy.hold[0].total is None or policy.tracks:
        return
    student, limit = facts.student, policy.hold[0].total
    counted = [offer for offer in student.offers or [] if "accepted" in policy.counts.of(offer.source)]
    if sum(offer.state is OfferState.ACCEPTED for offer in counted) > limit:
        return
    for offer in student.offers or []:
        answer = judge_acceptance(policy, facts.season, student, offer.id)
        if answer.verdict is Verdict.ALLOWED:
            forfeited = answer.consequences.forfeits
            changed = [
                former.model_copy(update={"state": OfferState.ACCEPTED})
                if former.id == offer.id
                else former.model_copy(update={"state": OfferState.ENDED})
                if former.id in forfeited
                else former
                for former in student.offers or []
            ]
            student = student.model_copy(update={"offers": changed})
    held = [offer for offer in student.offers or [] if offer.state is OfferState.ACCEPTED]
    assert sum("accepted" in policy.counts.of(offer.source) for offer in held) <= limit
