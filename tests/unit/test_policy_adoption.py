"""Adoption checks of a policy: unknown names, conditions that never change a decision, and contradicting rules."""

from typing import Any

import pytest

from services.api.policy.adoption import AdoptionReport, SeasonNames, adoption_report
from services.api.policy.facts import DriveFacts, SeasonFacts
from services.api.policy.located import Located
from services.api.policy.parsing import parse_policy, read_document
from tests.policies.building import NOW

GOOD = """\
levels: [{id: base, to_ctc: 600000}, {id: dream, to_ctc: 1200000}, {id: super}]
categories: [it, core]
counts: {CAMPUS: [open, accepted], PPO: [accepted], OFF_CAMPUS: []}
hold: {total: 1, beyond: refuse}
after_offer: rules
allow:
  - [{level_above: {of: best_held}}]
decide_in: {silence: decline}
"""
RULE = "{level_above: {of: best_held}}"


def report(text: str, names: SeasonNames | None = None) -> AdoptionReport:
    policy, document = parse_policy(text.encode())
    assert isinstance(document, Located)
    return adoption_report(policy, document, names)


def errors(text: str, names: SeasonNames | None = None) -> list[str]:
    return [str(problem) for problem in report(text, names).errors]


def test_a_good_policy_has_neither_errors_nor_warnings() -> None:
    assert report(GOOD) == AdoptionReport([], [])


NAMES = [
    ("{level_above: {of: drem}}", "7:7: allow[0][0].level_above: there is no level 'drem'. Did you mean 'dream'?"),
    ("{level_above: {of: base, at_most: sup}}", "there is no level 'sup'"),
    ("{category_in: [cor]}", "there is no category 'cor'. Did you mean 'core'?"),
    ("{drive: {level: gold}}", "there is no level 'gold'. There are: base, dream, super"),
    ("{held: {any: {category: x}}}", "there is no category 'x'"),
    ("{offers_in_below: 1, of: {level: x}}", "there is no level 'x'"),
    ("{not: {category_in: x}}", "there is no category 'x'"),
    ("{cohort_placed_at_least: {cohort: mates, percent: 5}}", "there is no cohort 'mates'. There are: none"),
    ("{student_number: {field: cgap, at_least: 7}}", "no attribute of students is named 'cgap'. Did you mean 'cgpa'?"),
]
CONSTANT = [
    ("{level_above: {of: super}}", "can never be true: no level is above super"),
    ("{level_above: {of: dream, at_most: base}}", "can never be true: no level is above dream and at most base"),
    ("{level_above: {of: best_held, at_most: base}}", "can never be true: there is no such level"),
    ("{category_in: [core, it]}", "can never be false: it lists every category"),
    ("{drive: {level: [base, dream, super]}}", "can never be false: it lists every level"),
    ("{drive: {type: [FTE, INTERN, INTERN_FTE, INTERN_PPO]}}", "can never be false: it lists every type"),
    ("{drive: {class: [PSU, PRIVATE]}}", "can never be false: it lists every class"),
    ("{ctc_at_least: 0}", "can never be false: pay is never below 0"),
    ("{student_number: {field: cgpa, at_least: 8, at_most: 7}}", "can never be true: at_least is more than at_most"),
    ("{within: {of: now, from: 2026-12-02, to: 2026-12-01}}", "can never be true: from is after to"),
    ("{offers_total_below: 1}", "can never be true: `allow` is only judged when at least one offer counts"),
    ("{held: {any: {}}}", "can never be false: `allow` is only judged when at least one offer counts"),
    ("{held: {any: {ctc_at_least: 5, ctc_at_most: 4}}}", "can never be true: ctc_at_least is more than ctc_at_most"),
    (f"{RULE}, {{not: {RULE}}}", "can never be true: the list also asks for the opposite"),
    (f"{RULE}, {RULE}", "repeats a condition of the same list"),
]
AMBIGUOUS = [
    (
        "to_ctc: 1200000",
        "to_ctc: 600000",
        "levels[1].to_ctc: overlaps the level before: 600000 must be more than 600000",
    ),
    ("{id: super}", "{id: super, to_ctc: 2000000}", "no level has pay above 2000000"),
    ("{id: super}", "{id: dream}", "there are two levels 'dream'"),
    ("{id: dream, to_ctc: 1200000}", "{id: dream}", "every higher one is unreachable"),
    ("{id: super}", "{id: best_held}", "means something else in conditions"),
    ("{id: super}", "{id: super}, {id: psu, to_ctc: 1, assigned: true}", "remove to_ctc or assigned"),
    (
        "after_offer: rules",
        "tracks: {a: [FTE], b: [FTE, INTERN]}\nafter_offer: rules",
        "FTE is in a and b: it",
    ),
    ("after_offer: rules", "tracks: {a: [FTE]}\nafter_offer: rules", "INTERN is in no track"),
    ("[open, accepted]", "[open]", "an offer would stop counting when it is accepted: add accepted"),
    ("[open, accepted]", "[announced, accepted]", "an offer would stop counting when it opens: add open"),
    ("after_offer: rules", "after_offer: open", "allow: is never used, because after_offer says open"),
    ("allow:\n  - [{level_above: {of: best_held}}]\n", "", "says rules, and there is no allow"),
    (
        "decide_in",
        f"deny: [{{when: [{RULE}], message: a}}]\ndecide_in",
        "allow[0]: can never hold: deny[0] denies whenever",
    ),
    (
        "decide_in",
        "deny: [{when: [same_level], message: a}, {when: [same_level], message: b}]\ndecide_in",
        "deny[1]: has the conditions of an earlier rule",
    ),
    (
        "decide_in",
        "deny: [{when: [same_level], message: 'x {untl}'}]\ndecide_in",
        "there is no placeholder 'untl'",
    ),
    (
        "decide_in",
        "caps: [{applications: 3, refund: []}, {applications: 4, refund: []}]\ndecide_in",
        "caps[1]: limits the same applications as an earlier cap",
    ),
    (
        "decide_in",
        "caps: [{applications: 3, of: {states: [active]}, refund: [withdrawn]}]\ndecide_in",
        "leaves out drive_cancelled, and refund does not give it back",
    ),
    (
        "decide_in",
        "penalties: [{on: absent, scope: season, until: season_end}, "
        "{on: absent, scope: season, until: {days: 3}}]\ndecide_in",
        "penalties[1]: punishes the same acts as an earlier rule",
    ),
    (
        "decide_in",
        "penalties: [{on: absent, notice: {hours: 3}, scope: season, until: season_end}]\ndecide_in",
        "`on` has no late_withdrawal",
    ),
    (
        "{total: 1, beyond: refuse}",
        "[{total: 1, beyond: refuse}, {total: 2, beyond: refuse}]",
        "the same students as",
    ),
    ("{total: 1, beyond: refuse}", "{per_level: {drem: 1}, beyond: refuse}", "there is no level 'drem'"),
]


@pytest.mark.parametrize(("rule", "expected"), NAMES + CONSTANT, ids=range(len(NAMES + CONSTANT)))
def test_a_rule_with_an_unknown_name_or_a_constant_result_prevents_adoption(rule: str, expected: str) -> None:
    problems = errors(GOOD.replace(RULE, rule))
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize(("old", "new", "expected"), AMBIGUOUS, ids=range(len(AMBIGUOUS)))
def test_ambiguous_or_contradicting_rules_prevent_adoption(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    problems = errors(GOOD.replace(old, new))
    assert any(expected in problem for problem in problems), problems


def names(*drives: dict[str, Any], **season: Any) -> SeasonNames:
    parsed = [DriveFacts.model_validate(drive) for drive in drives]
    return SeasonNames(SeasonFacts.model_validate({"now": NOW, **season}), parsed, frozenset({"cgpa", "hostel"}))


def test_conditions_are_checked_against_the_drives_of_the_season() -> None:
    season = names({"ctc": 500000, "category": "it"}, {"ctc": 700000, "category": "core"})
    for rule, expected in (
        ("{ctc_at_least: 700001}", "can never be true for any drive of the season"),
        ("{ctc_at_least: 500000}", "can never be false for any drive of the season"),
        ("{drive: {level: super}}", "can never be true for any drive of the season"),
        ("{drive: {category: core}}, {not: {ctc_at_least: 600000}}", "its conditions never hold together"),
    ):
        problems = errors(GOOD.replace(RULE, rule), season)
        assert any(expected in problem for problem in problems), (rule, problems)
    assert errors(GOOD.replace(RULE, "{ctc_at_least: 700000}"), season) == []


def test_a_drive_without_the_fact_allows_any_condition() -> None:
    assert errors(GOOD.replace(RULE, "{ctc_at_least: 700001}"), names({"ctc": 500000}, {})) == []


def test_a_window_outside_of_the_season_is_an_error() -> None:
    rule = GOOD.replace(RULE, "{within: {of: now, from: 2027-09-01}}")
    assert errors(rule) == []
    assert "the window is outside the season" in errors(rule, names({}, end="2027-05-31"))[0]


def test_an_attribute_that_the_season_does_not_record_is_an_error() -> None:
    rule = GOOD.replace(RULE, "{student_in: {field: hostel, values: [a]}}")
    assert errors(rule, names({})) == []
    assert "must be recorded for every student" in str(report(rule).warnings[0])
    other = GOOD.replace(RULE, "{student_in: {field: gender, values: [female]}}")
    assert "no attribute of students is named 'gender'" in errors(other, names({}))[0]


def test_redundant_rules_are_warnings() -> None:
    text = GOOD.replace(f"  - [{RULE}]", f"  - [{RULE}]\n  - [{RULE}, {{ctc_at_least: 5}}]").replace(
        "hold: {total: 1, beyond: refuse}\n", "on_accept: {keep: same_day}\n"
    )
    warnings = [str(problem) for problem in report(text).warnings]
    assert errors(text) == []
    assert len(warnings) == 3
    assert any("allow[1]: never matters: allow[0] holds whenever it does" in each for each in warnings)


def test_errors_in_json_documents_have_line_numbers() -> None:
    import json

    as_json = json.dumps(read_document(GOOD.encode()).value, indent=1).replace('"best_held"', '"drem"').encode()
    policy, document = parse_policy(as_json)
    problem = adoption_report(policy, document).errors[0]
    line = as_json.decode().splitlines()[problem.line - 1]
    assert "level_above" in line
