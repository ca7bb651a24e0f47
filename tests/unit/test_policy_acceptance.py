"""Policy rules on accepted and announced offers: limits, deadlines, withdrawals, standing, exceptions, simulation."""

from typing import Any

import pytest

from contracts.policy.document import Policy
from contracts.policy.values import Source
from services.api.policy.acceptance import Acceptance, announcement_consequences, judge_acceptance
from services.api.policy.deadlines import state_after_silence
from services.api.policy.decision import Verdict, judge_application
from services.api.policy.facts import OfferFacts, SeasonFacts, StudentFacts
from services.api.policy.simulation import Population, by_drive, simulate
from services.api.policy.standing import PlacementStanding, standing_of
from tests.policies.building import NOW, facts_of, policy_of

SEASON = SeasonFacts.model_validate({"now": NOW})
LOW = {"id": "low", "state": "accepted", "ctc": 500000}
OPEN = {"id": "open", "state": "open", "ctc": 900000, "day": "2026-12-01", "session": "morning"}


def accept(policy: Policy, *offers: dict[str, Any], give_up: tuple[str, ...] = (), **student: Any) -> Acceptance:
    facts = StudentFacts.model_validate({"offers": list(offers), **student})
    return judge_acceptance(policy, SEASON, facts, "open", give_up=give_up, version=7)


def test_an_offer_must_exist_and_be_open() -> None:
    assert accept(policy_of()).code == "OFFER_UNKNOWN"
    assert accept(policy_of(), {**OPEN, "state": "revoked"}).code == "OFFER_NOT_OPEN"
    assert accept(policy_of(), OPEN).code == "ACCEPTABLE"
    assert accept(policy_of(), OPEN).policy_version == 7


@pytest.mark.parametrize(
    ("hold", "code"),
    [
        ({"total": 1}, "HOLD_TOTAL_REACHED"),
        ({"total": 2}, "ACCEPTABLE"),
        ({"per_level": 1}, "ACCEPTABLE"),
        ({"per_level": {"dream": 0}}, "HOLD_LEVEL_REACHED"),
        ({"per_level": {"base": 1}}, "ACCEPTABLE"),
        ({"total": 1, "when": [{"student_in": {"field": "programme", "values": ["MBA"]}}]}, "ACCEPTABLE"),
        ({"total": 1, "when": [{"student_in": {"field": "programme", "values": ["B.Tech"]}}]}, "HOLD_TOTAL_REACHED"),
        ({"total": 1, "when": [{"student_in": {"field": "gender", "values": ["female"]}}]}, "FACTS_MISSING"),
    ],
)
def test_the_hold_limit(hold: dict[str, Any], code: str) -> None:
    answer = accept(policy_of(hold={**hold, "beyond": "refuse"}), LOW, OPEN, attributes={"programme": "B.Tech"})
    assert answer.code == code


def test_an_unknown_level_is_undetermined_only_at_the_limit() -> None:
    policy = policy_of(hold={"per_level": 1, "beyond": "refuse"})
    assert accept(policy, {**LOW, "ctc": None}, OPEN).verdict is Verdict.UNDETERMINED
    assert accept(policy_of(hold={"per_level": 2, "beyond": "refuse"}), {**LOW, "ctc": None}, OPEN).code == "ACCEPTABLE"


def test_forfeited_offers_do_not_count_towards_the_limit() -> None:
    policy = policy_of(hold={"total": 1, "beyond": "refuse"}, on_accept={"forfeit_held": "lower"})
    answer = accept(policy, LOW, OPEN)
    assert (answer.code, answer.consequences.forfeits) == ("ACCEPTABLE", ("low",))
    assert accept(policy, {**LOW, "ctc": 900000}, OPEN).code == "HOLD_TOTAL_REACHED"
    assert accept(policy, {**LOW, "ctc": None}, OPEN).verdict is Verdict.UNDETERMINED


def test_a_student_at_the_limit_may_choose_offers_to_give_up() -> None:
    policy = policy_of(hold={"total": 1, "beyond": "choose"})
    answer = accept(policy, LOW, OPEN)
    assert (answer.code, answer.choose_from, answer.give_up) == ("MUST_CHOOSE", ("low",), 1)
    assert accept(policy, LOW, OPEN, give_up=("low",)).consequences.forfeits == ("low",)
    assert accept(policy, LOW, OPEN, give_up=("none",)).code == "MUST_CHOOSE"


def test_offers_of_an_uncounted_source_are_not_limited() -> None:
    policy = policy_of(hold={"total": 1, "beyond": "refuse"})
    assert accept(policy, {**LOW, "source": "OFF_CAMPUS"}, OPEN).code == "ACCEPTABLE"
    assert accept(policy, LOW, {**OPEN, "source": "OFF_CAMPUS"}).code == "ACCEPTABLE"


RUNNING = [
    {"drive": {"id": "base", "ctc": 500000}},
    {"drive": {"id": "super", "ctc": 2000000}},
    {"drive": {"id": "same-session", "ctc": 1, "day": "2026-12-01", "session": "morning"}},
    {"drive": {"id": "same-day", "ctc": 1, "day": "2026-12-01", "session": "evening"}},
    {"drive": {"id": "unpriced"}},
    {"drive": {"id": "over", "ctc": 1}, "state": "rejected"},
]
RULES = {"after_offer": "rules", "allow": [[{"level_above": {"of": "best_held"}}]]}


@pytest.mark.parametrize(
    ("on_accept", "withdrawn", "kept", "unclear"),
    [
        ({"withdraw": "none"}, [], [], []),
        ({"withdraw": "all"}, ["base", "super", "same-session", "same-day", "unpriced"], [], []),
        ({"withdraw": "lower"}, ["base", "same-session", "same-day"], [], ["unpriced"]),
        ({"withdraw": "disallowed"}, ["base", "same-session", "same-day"], [], ["unpriced"]),
        ({"withdraw": "lower", "keep": "same_day"}, ["base"], ["same-session", "same-day"], ["unpriced"]),
        ({"withdraw": "lower", "keep": "same_session"}, ["base", "same-day"], ["same-session"], ["unpriced"]),
    ],
)
def test_an_acceptance_withdraws_applications(
    on_accept: dict[str, str], withdrawn: list[str], kept: list[str], unclear: list[str]
) -> None:
    answer = accept(policy_of(**RULES, on_accept=on_accept), OPEN, applications=RUNNING).consequences
    assert [each.drive for each in answer.withdraws] == withdrawn
    assert (list(answer.keeps), list(answer.unclear)) == (kept, unclear)


def test_running_applications_are_judged_without_caps_and_by_track() -> None:
    tracks = {"intern": ["INTERN"], "fte": ["FTE", "INTERN_FTE", "INTERN_PPO"]}
    caps = [{"applications": 1, "refund": []}]
    policy = policy_of(**RULES, tracks=tracks, caps=caps, on_accept={"withdraw": "disallowed"})
    running = [{"drive": {"id": "intern", "type": "INTERN", "ctc": 1}}, {"drive": {"id": "super", "ctc": 2000000}}]
    assert accept(policy, OPEN, applications=running).consequences.withdraws == ()


def test_an_announcement_withdraws_applications_by_its_own_rule() -> None:
    policy = policy_of(after_offer="closed", on_announce={"withdraw": "disallowed"})
    student = StudentFacts.model_validate({"applications": RUNNING[:2]})
    offer = OfferFacts.model_validate({**OPEN, "state": "announced"})
    answer = announcement_consequences(policy, SEASON, student, offer)
    assert [each.because for each in answer.withdraws] == ["AFTER_OFFER_CLOSED", "AFTER_OFFER_CLOSED"]
    off_campus = offer.model_copy(update={"source": Source.OFF_CAMPUS})
    assert announcement_consequences(policy, SEASON, student, off_campus).withdraws == ()


@pytest.mark.parametrize(("silence", "state"), [("decline", "declined"), ("expire", "expired"), ("accept", "accepted")])
def test_an_undecided_offer_changes_state_at_its_deadline(silence: str, state: str) -> None:
    policy = policy_of(decide_in={"CAMPUS": {"hours": 24, "from": "opening"}, "silence": silence})
    due = OfferFacts.model_validate({**OPEN, "opened_at": "2026-11-09T11:59:59Z"})
    assert state_after_silence(policy, due, SEASON) == state
    in_time = due.model_copy(update={"opened_at": due.opened_at and due.opened_at.replace(hour=12, minute=0, second=0)})
    assert state_after_silence(policy, in_time, SEASON) is None


def test_an_unknown_announcement_time_leaves_the_deadline_open() -> None:
    policy = policy_of(decide_in={"CAMPUS": {"hours": 24}, "silence": "decline"})
    assert accept(policy, OPEN).missing == ("offers[open].announced_at",)
    assert accept(policy, {**OPEN, "deadline": "2026-11-10T12:00:00Z"}).code == "ACCEPTABLE"
    assert accept(policy, {**OPEN, "deadline": "2026-11-10T11:59:59Z"}).code == "DECIDED_TOO_LATE"


@pytest.mark.parametrize(
    ("offer", "standing"),
    [
        ({"type": "FTE"}, PlacementStanding(placed=True, interning=False)),
        ({"type": "INTERN"}, PlacementStanding(placed=False, interning=True)),
        ({"type": "INTERN_FTE"}, PlacementStanding(placed=True, interning=True)),
        ({"type": "INTERN_PPO", "conversion": "not_converted"}, PlacementStanding(placed=False, interning=True)),
        ({"type": "INTERN", "conversion": "converted"}, PlacementStanding(placed=True, interning=True)),
        ({"type": "FTE", "state": "open"}, PlacementStanding(placed=False, interning=False)),
    ],
)
def test_placement_standing(offer: dict[str, str], standing: PlacementStanding) -> None:
    assert standing_of([OfferFacts.model_validate({"state": "accepted", **offer})]) == standing


@pytest.mark.parametrize(
    ("exceptions", "allowed"),
    [
        ([{"effect": "allow", "of": "policy"}], True),
        ([{"effect": "allow", "of": "policy", "expires_at": NOW}], False),
        ([{"effect": "allow", "of": "cap"}], False),
        ([{"effect": "allow", "of": "policy", "scope": "drive", "drive": "other"}], False),
        ([{"effect": "allow", "of": "policy", "scope": "company", "company": "ACME"}], True),
        ([{"effect": "allow", "of": "policy", "scope": "season"}, {"effect": "deny", "of": "policy"}], False),
        ([{"effect": "deny", "of": "policy", "scope": "season"}, {"effect": "allow", "of": "policy"}], True),
        ([{"effect": "allow", "of": "policy"}, {"effect": "deny", "of": "policy"}], False),
    ],
)
def test_the_most_specific_exception_wins_and_a_denial_wins_a_tie(exceptions: list[Any], allowed: bool) -> None:
    facts = facts_of({"offers": [LOW], "exceptions": exceptions}, {"company": "Acme"})
    decision = judge_application(policy_of(after_offer="closed"), facts)
    assert decision.allowed is allowed
    assert bool(decision.exceptions_used) is any(each["of"] == "policy" for each in exceptions) or not allowed


def test_several_exceptions_may_be_needed() -> None:
    policy = policy_of(after_offer="closed", caps=[{"applications": 0, "refund": []}])
    facts = facts_of({"offers": [LOW]}, {"criteria": {"min_cgpa": "7"}})
    assert judge_application(policy, facts).helpful_exceptions == ("cap", "criteria", "policy")


def test_a_simulation_lists_gained_and_lost_permissions() -> None:
    population = Population.model_validate(
        {
            "season": {"now": NOW},
            "drives": [{"id": "base", "ctc": 1}, {"id": "super", "ctc": 2000000}, {"id": "unpriced"}],
            "students": [{"id": "free"}, {"id": "placed", "offers": [LOW]}],
        }
    )
    opened, ruled = policy_of(after_offer="open"), policy_of(**RULES)
    narrower = simulate(opened, ruled, population)
    assert [(each.student, each.drive) for each in narrower.losing()] == [("placed", "base"), ("placed", "unpriced")]
    assert (narrower.gaining(), narrower.pairs, narrower.undetermined) == ([], 6, 1)
    wider = simulate(policy_of(after_offer="closed"), ruled, population)
    assert by_drive(wider.changes) == {"super": (1, 0), "unpriced": (0, 0)}
    assert simulate(ruled, ruled, population).changes == ()
