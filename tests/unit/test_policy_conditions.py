"""Each condition of the policy grammar has cases that are true, false and unknown, and cases at its limits."""

from typing import Any

import pytest

from contracts.policy.grammar import NAMED
from services.api.policy.outcome import Tri
from tests.policies.building import facts_of, outcome, policy_of

HELD = {"state": "accepted", "ctc": 600000, "category": "it", "announced_at": "2026-11-01T00:00:00Z"}
HIGH = {"id": "high", "state": "open", "ctc": 900000, "category": "core", "announced_at": "2026-11-05T00:00:00Z"}
UNPAID = {"state": "accepted"}
DECLINED = {"id": "declined", "state": "declined", "ctc": 2000000}
APPLIED: list[dict[str, Any]] = [
    {"drive": {"id": "a", "ctc": 100, "category": "it"}, "at": "2026-11-02T00:00:00Z", "shortlisted": True},
    {
        "drive": {"id": "b", "category": "core"},
        "at": "2026-11-03T00:00:00Z",
        "state": "withdrawn",
        "shortlisted": False,
    },
]

Row = tuple[Any, dict[str, Any], dict[str, Any], Tri]


def offers(*held: dict[str, Any]) -> dict[str, Any]:
    return {"offers": list(held)}


ROWS: list[Row] = [
    # level_above
    ({"level_above": {"of": "best_held"}}, offers(HELD), {"ctc": 600001}, True),
    ({"level_above": {"of": "best_held"}}, offers(HELD), {"ctc": 600000}, False),
    ({"level_above": {"of": "best_held"}}, offers(HELD), {}, None),
    ({"level_above": {"of": "best_held"}}, offers(UNPAID), {"ctc": 2000000}, None),
    ({"level_above": {"of": "best_held"}}, offers(), {}, True),
    ({"level_above": {"of": "best_held"}}, {"offers": None}, {"ctc": 700000}, None),
    ({"level_above": {"of": "best_held", "at_most": 1}}, offers(HELD), {"ctc": 1200001}, False),
    ({"level_above": {"of": "best_held", "at_most": 1}}, offers(HELD), {"ctc": 1200000}, True),
    ({"level_above": {"of": "best_held", "at_most": "dream"}}, offers(HELD), {"ctc": 1200001}, False),
    ({"level_above": {"of": "every_held"}}, offers(HELD, HIGH), {"ctc": 900000}, False),
    ({"level_above": {"of": "any_held"}}, offers(HELD, HIGH), {"ctc": 900000}, True),
    ({"level_above": {"of": "base"}}, offers(), {"ctc": 600001}, True),
    ({"level_above": {"of": "base"}}, offers(), {"ctc": 600000}, False),
    ({"level_above": {"of": "best_held"}}, offers(HELD), {"ctc": 1, "level": "super"}, True),
    ({"level_above": {"of": "best_held"}}, offers(HELD), {"ctc": 9000000, "level": "gone"}, None),
    # same_level
    ("same_level", offers(HELD), {"ctc": 1}, True),
    ("same_level", offers(HELD), {"ctc": 600001}, False),
    ("same_level", offers(HELD), {}, None),
    ("same_level", offers(), {"ctc": 1}, False),
    ({"same_level": {"of": "every_held"}}, offers(HELD, HIGH), {"ctc": 1}, False),
    ({"same_level": {"of": "best_held"}}, offers(HELD, HIGH), {"ctc": 700000}, True),
    # category_in
    ({"category_in": ["it"]}, offers(), {"category": "it"}, True),
    ({"category_in": "it"}, offers(), {"category": "core"}, False),
    ({"category_in": ["it"]}, offers(), {}, None),
    # ctc_ratio_at_least
    ({"ctc_ratio_at_least": "1.5", "to": "best_held"}, offers(HELD), {"ctc": 900000}, True),
    ({"ctc_ratio_at_least": "1.5", "to": "best_held"}, offers(HELD), {"ctc": 899999}, False),
    ({"ctc_ratio_at_least": "1.5", "to": "best_held"}, offers(HELD), {}, None),
    ({"ctc_ratio_at_least": "1.5", "to": "best_held"}, offers(), {}, True),
    ({"ctc_ratio_at_least": "1.5", "to": "every_held"}, offers(HELD, HIGH), {"ctc": 900000}, False),
    ({"ctc_ratio_at_least": "1.5", "to": "best_held", "pay": "fixed"}, offers(HELD), {"ctc": 900000}, None),
    # ctc_delta_at_least
    ({"ctc_delta_at_least": 150000, "to": "best_held"}, offers(HELD), {"ctc": 750000}, True),
    ({"ctc_delta_at_least": 150000, "to": "best_held"}, offers(HELD), {"ctc": 749999}, False),
    ({"ctc_delta_at_least": 150000, "to": "best_held"}, offers(UNPAID), {"ctc": 749999}, None),
    # ctc_at_least
    ({"ctc_at_least": 500000}, offers(), {"ctc": 500000}, True),
    ({"ctc_at_least": 500000}, offers(), {"ctc": 499999}, False),
    ({"ctc_at_least": 500000}, offers(), {}, None),
    ({"ctc_at_least": 500000, "pay": "fixed"}, offers(), {"ctc": 900000, "fixed": 400000}, False),
    # held
    ({"held": {"any": {"level": "base"}}}, offers(HELD, HIGH), {}, True),
    ({"held": {"every": {"level": "base"}}}, offers(HELD, HIGH), {}, False),
    ({"held": {"any": {"level": "base"}}}, offers(UNPAID), {}, None),
    ({"held": {"any": {"level": "base"}}}, offers(HELD, UNPAID), {}, True),
    ({"held": {"any": {}}}, offers(), {}, False),
    ({"held": {"every": {}}}, offers(), {}, False),
    ({"held": {"any": {"ctc_at_most": 600000}}}, offers(HELD), {}, True),
    ({"held": {"any": {"ctc_at_most": 599999}}}, offers(HELD), {}, False),
    ({"held": {"any": {"source": "PPO"}}}, offers({**HELD, "source": "PPO"}), {}, True),
    ({"held": {"any": {"source": "PPO"}}}, offers({**HELD, "source": "PPO", "state": "open"}), {}, False),
    ({"held": {"any": {"type": "INTERN"}}}, offers({**HELD, "type": "INTERN"}), {}, True),
    ({"held": {"any": {"class": "PSU"}}}, offers(HELD), {}, None),
    ({"held": {"any": {"joins_from": "2027-01-01"}}}, offers({**HELD, "joining": "2027-01-01"}), {}, True),
    ({"held": {"any": {"joins_from": "2027-01-01"}}}, offers({**HELD, "joining": "2026-12-31"}), {}, False),
    ({"held": {"any": {"states": "revoked"}}}, offers({**HELD, "state": "revoked"}), {}, True),
    ({"held": {"any": {}}}, {"offers": None}, {}, None),
    # drive
    ({"drive": {"class": "PSU"}}, offers(), {"class": "PSU"}, True),
    ({"drive": {"class": "PSU"}}, offers(), {"class": "PRIVATE"}, False),
    ({"drive": {"class": "PSU"}}, offers(), {}, None),
    ({"drive": {"class": "PSU", "type": "INTERN"}}, offers(), {}, False),
    ({"drive": {"level": ["dream", "super"]}}, offers(), {"ctc": 600001}, True),
    ({"drive": {"joins_from": "2027-07-01"}}, offers(), {"joining": "2027-07-01"}, True),
    ({"drive": {"joins_from": "2027-07-01"}}, offers(), {"joining": "2027-06-30"}, False),
    ({"drive": {"day": "2026-12-01"}}, offers(), {"day": "2026-12-01"}, True),
    ({"drive": {"day": "2026-12-01"}}, offers(), {"day": "2026-12-02"}, False),
    ({"drive": {"company": "ACME  Ltd"}}, offers(), {"company": "Acme ltd"}, True),
    # offers_total_below
    ({"offers_total_below": 2}, offers(HELD), {}, True),
    ({"offers_total_below": 1}, offers(HELD), {}, False),
    ({"offers_total_below": 3}, offers(HELD, HIGH, DECLINED), {}, False),
    ({"offers_total_below": 3, "of": {"refund": ["declined"]}}, offers(HELD, HIGH, DECLINED), {}, True),
    ({"offers_total_below": 1, "of": {"states": "accepted"}}, offers(HIGH), {}, True),
    ({"offers_total_below": 1, "of": {"states": "accepted"}}, offers({**HELD, "source": "OFF_CAMPUS"}), {}, True),
    ({"offers_total_below": 2}, {"offers": None}, {}, None),
    # offers_in_below
    ({"offers_in_below": 1, "of": {"level": "base"}}, offers(HELD), {}, False),
    ({"offers_in_below": 2, "of": {"level": "base"}}, offers(HELD), {}, True),
    ({"offers_in_below": 1, "of": {"level": "drive"}}, offers(HELD), {"ctc": 700000}, True),
    ({"offers_in_below": 1, "of": {"level": "drive"}}, offers(HELD), {"ctc": 1}, False),
    ({"offers_in_below": 1, "of": {"category": "drive"}}, offers(HELD), {}, None),
    ({"offers_in_below": 2, "of": {"category": "drive"}}, offers(HELD), {}, True),
    ({"offers_in_below": 1, "of": {"level": "base"}}, offers(UNPAID), {}, None),
    # upgrades_used_below
    ({"upgrades_used_below": 1}, offers(HELD), {}, True),
    ({"upgrades_used_below": 1}, offers(HELD, HIGH), {}, False),
    ({"upgrades_used_below": 1}, offers(HIGH, HELD), {}, True),
    ({"upgrades_used_below": 1}, offers(HELD, UNPAID), {}, None),
    ({"upgrades_used_below": 1}, {**offers(HELD), "upgrades_used": 1}, {}, False),
    ({"upgrades_used_below": 1}, {"offers": None}, {}, None),
    # dream_choice_left
    ("dream_choice_left", {"dream_company": "Acme"}, {"company": "ACME"}, True),
    ("dream_choice_left", {"dream_company": "Acme", "dream_used": True}, {"company": "ACME"}, False),
    ("dream_choice_left", {"dream_company": "Acme"}, {}, None),
    ("dream_choice_left", {"dream_company": "Acme", "applications": None}, {"company": "Acme"}, None),
    ("dream_choice_left", {}, {"company": "Acme"}, False),
    # applications_since_below
    (
        {"applications_since_below": 3, "since": "season_start", "of": {"refund": []}},
        {"applications": APPLIED},
        {},
        True,
    ),
    (
        {"applications_since_below": 2, "since": "season_start", "of": {"refund": []}},
        {"applications": APPLIED},
        {},
        False,
    ),
    (
        {"applications_since_below": 2, "since": "season_start", "of": {"refund": ["withdrawn"]}},
        {"applications": APPLIED},
        {},
        True,
    ),
    (
        {"applications_since_below": 2, "since": "offer_announced", "of": {"refund": []}},
        {"applications": APPLIED, **offers(HELD)},
        {},
        False,
    ),
    (
        {"applications_since_below": 1, "since": "offer_announced", "of": {"refund": []}},
        {"applications": APPLIED, **offers(HELD, HIGH)},
        {},
        True,
    ),
    (
        {"applications_since_below": 1, "since": "first_offer_announced", "of": {"refund": []}},
        {"applications": APPLIED, **offers(HELD, HIGH)},
        {},
        False,
    ),
    ({"applications_since_below": 1, "since": "offer_announced"}, {"applications": APPLIED, **offers()}, {}, True),
    (
        {"applications_since_below": 1, "since": "offer_announced"},
        {"applications": APPLIED, **offers(UNPAID)},
        {},
        None,
    ),
    (
        {"applications_since_below": 3, "since": "offer_announced"},
        {"applications": APPLIED, **offers(UNPAID)},
        {},
        True,
    ),
    ({"applications_since_below": 1, "since": "season_start"}, {"applications": None}, {}, None),
    (
        {"applications_since_below": 2, "since": "season_start", "of": {"category": "it"}},
        {"applications": APPLIED},
        {},
        True,
    ),
    # shortlists_below
    ({"shortlists_below": 2}, {"applications": APPLIED}, {}, True),
    ({"shortlists_below": 1}, {"applications": APPLIED}, {}, False),
    ({"shortlists_below": 1}, {"applications": [{"drive": {"id": "c"}}]}, {}, None),
    # cohort_placed_at_least
    (
        {"cohort_placed_at_least": {"cohort": "mates", "percent": 60}},
        {"cohorts": {"mates": {"placed": 6, "of": 10}}},
        {},
        True,
    ),
    (
        {"cohort_placed_at_least": {"cohort": "mates", "percent": "60.1"}},
        {"cohorts": {"mates": {"placed": 6, "of": 10}}},
        {},
        False,
    ),
    ({"cohort_placed_at_least": {"cohort": "mates", "percent": 60}}, {}, {}, None),
    (
        {"cohort_placed_at_least": {"cohort": "mates", "percent": 0}},
        {"cohorts": {"mates": {"placed": 0, "of": 0}}},
        {},
        None,
    ),
    # penalty_active
    ({"penalty_active": "season"}, {"penalties": [{"scope": "season", "since": "2026-11-01"}]}, {}, True),
    ({"penalty_active": "any"}, {"penalties": [{"scope": "season", "since": "2026-11-01"}]}, {}, True),
    ({"penalty_active": "season"}, {"penalties": [{"scope": "season", "since": "2026-11-11"}]}, {}, False),
    (
        {"penalty_active": "season"},
        {"penalties": [{"scope": "season", "since": "2026-11-01", "until": "2026-11-10T12:00:00Z"}]},
        {},
        False,
    ),
    (
        {"penalty_active": "level"},
        {"penalties": [{"scope": "level", "value": "base", "since": "2026-11-01"}]},
        {},
        None,
    ),
    (
        {"penalty_active": "next_drives"},
        {"penalties": [{"scope": "next_drives", "since": "2026-11-01"}]},
        {"opened_at": "2026-11-02"},
        None,
    ),
    (
        {"penalty_active": "next_drives"},
        {"penalties": [{"scope": "next_drives", "since": "2026-11-01"}]},
        {"opened_at": "2026-10-30"},
        False,
    ),
    # student_in
    ({"student_in": {"field": "branch", "values": ["CSE"]}}, {"attributes": {"branch": " cse "}}, {}, True),
    ({"student_in": {"field": "branch", "values": "CSE"}}, {"attributes": {"branch": "EE"}}, {}, False),
    ({"student_in": {"field": "branch", "values": ["CSE"]}}, {"attributes": {"branch": None}}, {}, None),
    ({"student_in": {"field": "batch_year", "values": [2027]}}, {"attributes": {"batch_year": 2027}}, {}, True),
    ({"student_in": {"field": "disability", "values": [True]}}, {"attributes": {"disability": True}}, {}, True),
    ({"student_in": {"field": "disability", "values": [True]}}, {"attributes": {"disability": 1}}, {}, False),
    ({"student_in": {"field": "skills", "values": "sql"}}, {"attributes": {"skills": ["c", "SQL"]}}, {}, True),
    # student_number
    ({"student_number": {"field": "cgpa", "at_least": 7}}, {"attributes": {"cgpa": "7.0"}}, {}, None),
    ({"student_number": {"field": "cgpa", "at_least": 7}}, {"attributes": {"cgpa": 7}}, {}, True),
    ({"student_number": {"field": "cgpa", "at_least": "7.5"}}, {"attributes": {"cgpa": 7}}, {}, False),
    ({"student_number": {"field": "cgpa", "at_most": 7}}, {"attributes": {"cgpa": 7}}, {}, True),
    ({"student_number": {"field": "cgpa", "at_most": 7}}, {}, {}, None),
    # within
    ({"within": {"of": "now", "from": "2026-11-10", "to": "2026-11-10"}}, {}, {}, True),
    ({"within": {"of": "now", "to": "2026-11-09"}}, {}, {}, False),
    ({"within": {"of": "drive_opened", "hours": 24}}, {}, {"opened_at": "2026-11-09T12:00:00Z"}, True),
    ({"within": {"of": "drive_opened", "hours": 24}}, {}, {"opened_at": "2026-11-09T11:59:59Z"}, False),
    ({"within": {"of": "drive_opened", "hours": 24}}, {}, {}, None),
    ({"within": {"of": "offer_announced", "days": 5}}, offers(HELD, HIGH), {}, False),
    ({"within": {"of": "offer_announced", "days": 6}}, offers(HELD, HIGH), {}, True),
    ({"within": {"of": "offer_announced", "days": 6}}, offers(), {}, False),
    ({"within": {"of": "offer_announced", "days": 6}}, offers(UNPAID), {}, None),
    ({"within": {"of": "offer_accepted", "days": 30}}, offers({**HELD, "accepted_at": "2026-11-02"}), {}, True),
    ({"within": {"of": "joining", "days": 30}}, {}, {"joining": "2026-12-10"}, True),
    ({"within": {"of": "joining", "days": 30}}, {}, {"joining": "2026-12-11"}, False),
    ({"within": {"of": "joining", "from": "2027-01-01"}}, {}, {"joining": "2027-01-01"}, True),
    # not
    ({"not": {"category_in": ["it"]}}, {}, {"category": "core"}, True),
    ({"not": {"category_in": ["it"]}}, {}, {"category": "it"}, False),
    ({"not": {"category_in": ["it"]}}, {}, {}, None),
    ({"not": [{"category_in": ["it"]}, {"ctc_at_least": 5}]}, {}, {"ctc": 4}, True),
    ({"not": "same_level"}, offers(HELD), {"ctc": 600001}, True),
]


def name_of(condition: Any) -> str:
    return condition if isinstance(condition, str) else next(key for key in condition if key in NAMED)


@pytest.mark.parametrize(
    ("condition", "student", "drive", "expected"),
    ROWS,
    ids=[f"{n} {name_of(row[0])} {row[3]}" for n, row in enumerate(ROWS)],
)
def test_a_condition_has_the_expected_result(
    condition: Any, student: dict[str, Any], drive: dict[str, Any], expected: Tri
) -> None:
    result = outcome(condition, facts_of(student, drive))
    assert result.holds is expected
    # A result names missing facts if, and only if, it is unknown.
    assert bool(result.missing) is (expected is None)
    assert result.required


@pytest.mark.parametrize("name", sorted(NAMED))
def test_each_condition_has_a_case_for_each_result(name: str) -> None:
    results = {row[3] for row in ROWS if name_of(row[0]) == name}
    assert results == {True, False, None}


def test_a_day_begins_at_midnight_of_the_campus() -> None:
    condition = {"within": {"of": "now", "from": "2026-11-11"}}
    assert outcome(condition, facts_of(timezone="UTC", now="2026-11-10T19:00:00Z")).holds is False
    assert outcome(condition, facts_of(timezone="Asia/Kolkata", now="2026-11-10T19:00:00Z")).holds is True


def test_the_count_of_a_small_cohort_is_hidden() -> None:
    condition = {"cohort_placed_at_least": {"cohort": "mates", "percent": 50}}
    result = outcome(condition, facts_of({"cohorts": {"mates": {"placed": 2, "of": 4}}}))
    assert (result.holds, result.yours) == (True, "few")


def test_tracks_are_judged_separately() -> None:
    policy = policy_of(tracks={"intern": ["INTERN"], "fte": ["FTE", "INTERN_FTE", "INTERN_PPO"]})
    held = {"offers": [{**HELD, "type": "INTERN"}]}
    assert outcome({"offers_total_below": 1}, facts_of(held, {"type": "FTE"}), policy).holds is True
    assert outcome({"offers_total_below": 1}, facts_of(held, {"type": "INTERN"}), policy).holds is False
    both = {"offers": [{**HELD, "type": "INTERN_FTE"}]}
    assert outcome({"offers_total_below": 1}, facts_of(both, {"type": "FTE"}), policy).holds is False


def test_the_best_offer_is_chosen_by_level_then_by_pay() -> None:
    """A level that staff assigned counts before pay."""
    assigned = {"id": "assigned", "state": "accepted", "ctc": 100, "level": "super"}
    result = outcome({"ctc_ratio_at_least": 2, "to": "best_held"}, facts_of(offers(HELD, assigned), {"ctc": 200}))
    assert result.holds is True
    result = outcome({"ctc_ratio_at_least": 2, "to": "every_held"}, facts_of(offers(HELD, assigned), {"ctc": 200}))
    assert result.holds is False


def test_an_unknown_level_does_not_matter_if_all_candidates_give_the_same_result() -> None:
    rich = {"id": "rich", "state": "accepted", "ctc": 9_000_000}
    poor = {"id": "poor", "state": "accepted", "ctc": 8_000_000, "level": "gone"}
    result = outcome({"ctc_ratio_at_least": 1, "to": "best_held"}, facts_of(offers(rich, poor), {"ctc": 10}))
    assert result.holds is False
