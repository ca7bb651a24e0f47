"""Policy documents are read exactly, and errors name the line, the path and the allowed values."""

import json
from decimal import Decimal
from typing import Any

import pytest

from contracts.policy.document import Policy
from services.api.policy.json_reader import read_json
from services.api.policy.located import MAX_BYTES, InvalidDocument
from services.api.policy.parsing import parse_policy, read_document
from services.api.policy.yaml_reader import read_yaml
from tests.policies.building import problems

GOOD = """\
levels: [{id: base, to_ctc: 600000}, {id: top}]
counts: {CAMPUS: [open, accepted], PPO: [accepted], OFF_CAMPUS: []}
after_offer: rules
allow:
  - [{ctc_ratio_at_least: 1.5, to: every_held}]
decide_in: {silence: decline}
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_document_has_no_problem() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (changed("after_offer: rules", "after_ofer: rules"), "3:1: after_ofer: unknown key 'after_ofer'. Did you mean"),
        (changed("ctc_ratio_at_least", "ctc_ratio"), "5:6: allow[0][0]: unknown condition 'ctc_ratio'. Did you mean"),
        (changed("every_held", "evry_held"), "5:32: allow[0][0].to: must be one of 'best_held' or"),
        (changed("600000", "600000.5"), "1:21: levels[0].to_ctc: must be whole rupees a year"),
        (changed("600000", "'600000'"), "1:21: levels[0].to_ctc: must be whole rupees a year"),
        (changed("600000", "-1"), "1:21: levels[0].to_ctc: must be at least 0"),
        (changed("600000", "0600000"), "1:29: levels[0].to_ctc: 0600000 is not a plain number"),
        (changed("600000", "6e5"), "1:29: levels[0].to_ctc: 6e5 is not a plain number"),
        (changed("600000", "600_000"), "1:29: levels[0].to_ctc: 600_000 is not a plain number"),
        (changed("600000", "0x10"), "1:29: levels[0].to_ctc: 0x10 is not a plain number"),
        (changed("600000", ".inf"), "1:29: levels[0].to_ctc: .inf is not a plain number"),
        (changed("600000", "9" * 19), "1:29: levels[0].to_ctc: a number may have 18 digits"),
        (changed("600000", "10:30"), "1:21: levels[0].to_ctc: must be whole rupees"),
        (changed("600000", "true"), "1:21: levels[0].to_ctc: must be whole rupees"),
        (changed("id: base", "id: 1"), "1:11: levels[0].id: must be text: put it in quotes"),
        (changed("1.5", "0"), "5:7: allow[0][0].ctc_ratio_at_least: must be more than 0"),
        (changed("1.5", "1.1234567"), "5:7: allow[0][0].ctc_ratio_at_least: must be a number of at most 6 decimals"),
        (changed("[open, accepted]", "[open, acepted]"), "must be one of 'announced'"),
        (changed("to: every_held", "category_in: it"), "holds several conditions, ctc_ratio_at_least and category_in"),
        (changed("after_offer: rules", "after_offer: yes"), "3:1: after_offer: must be 'open', 'closed' or"),
        (changed("after_offer: rules", "after_offer: rules\nafter_offer: open"), "4:1: after_offer: the key 'aft"),
        (changed("levels: [", "levels: &x ["), "anchors and aliases"),
        (changed("levels: [", "levels: !!python/tuple ["), "the tag tag:yaml.org,2002:python/tuple is not allowed"),
        (GOOD + "---\na: 1\n", "7:1: holds several documents"),
        (GOOD + "<<: {a: 1}\n", "merge keys"),
        (GOOD + "caps:\n  - {applications: 3, refund: [withdrawn]\n", "is not valid YAML"),
        (GOOD + "x: " + "[" * 40 + "]" * 40 + "\n", "nested more than 30 levels"),
        (GOOD + "? [a]\n: b\n", "a key must be a single word"),
        (GOOD + "title: \x07\n", "holds a character that YAML does not allow"),
        ("", "1:1: is empty"),
        ("- a\n", "1:1: must be a mapping"),
    ],
    ids=range(31),
)  # fmt: skip
def test_a_problem_is_reported_with_line_and_path(text: str, expected: str) -> None:
    reported = problems(text)
    assert any(expected in problem for problem in reported), reported


def test_every_problem_is_reported_at_once() -> None:
    text = "levls: []\nafter_offer: maybe\ncounts: {CAMPUS: [open, opn]}\nallow: [[{level_abov: 1}]]\n"
    reported = "\n".join(problems(text))
    for part in ("levls", "'maybe'", "counts.PPO", "counts.OFF_CAMPUS", "level_abov", "counts.CAMPUS[1]", "silence"):
        assert part in reported


QUESTIONS = [
    (
        "counts: {CAMPUS: [open, accepted], PPO: [accepted], OFF_CAMPUS: []}\n",
        "",
        "In which states does an offer count",
    ),
    ("CAMPUS: [open, accepted], ", "", "Does a campus offer count when it is announced, or only when it is accepted?"),
    ("PPO: [accepted], ", "", "Does a pre-placement offer count, and so end the process"),
    (", OFF_CAMPUS: []", "", "Do off-campus jobs count?"),
    ("after_offer: rules\n", "", "May a student with an offer that counts apply again?"),
    ("decide_in: {silence: decline}\n", "", "What does silence at the deadline mean?"),
    ("silence: decline", "CAMPUS: {days: 2}", "What does silence at the deadline mean?"),
    (
        "after_offer",
        "caps: [{applications: 3}]\nafter_offer",
        "Are withdrawn applications, and those of cancelled drives",
    ),
    ("{ctc_ratio_at_least: 1.5, to: every_held}", "{shortlists_below: 3}", "Are withdrawn applications"),
    (
        "{ctc_ratio_at_least: 1.5, to: every_held}",
        "{not: {applications_since_below: 3, since: penalty}}",
        "Are withdrawn applications",
    ),
    (
        "after_offer",
        "cohorts: {mates: {same: [branch], counts: [accepted]}}\nafter_offer",
        "Who is in this cohort: registered",
    ),
    ("after_offer", "cohorts: {mates: {of: all, counts: [accepted]}}\nafter_offer", "students who share what?"),
    (
        "after_offer",
        "cohorts: {mates: {of: all, same: [branch]}}\nafter_offer",
        "When is a student of this cohort placed?",
    ),
]


@pytest.mark.parametrize(("old", "new", "question"), QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_missing_decision_is_asked_for(old: str, new: str, question: str) -> None:
    reported = problems(changed(old, new))
    assert len(reported) == 1, reported
    assert question in reported[0]


def test_yaml_values_are_read_exactly() -> None:
    value = read_yaml("a: 1.1\nb: 600000\nc: on\nd: yes\ne: 1.10\nf: 2026-11-01\ng: null\nh: true\ni: '12'").value
    assert value == {
        "a": Decimal("1.1"), "b": 600000, "c": "on", "d": "yes", "e": Decimal("1.10"), "f": "2026-11-01", "g": None,
        "h": True, "i": "12",
    }  # fmt: skip
    assert not any(isinstance(item, float) for item in value.values())


def test_the_key_on_is_read_as_text() -> None:
    policy, _ = parse_policy((GOOD + "penalties: [{on: absent, scope: season, until: season_end}]\n").encode())
    assert policy.penalties[0].on == ["absent"]


def test_yaml_and_json_give_the_same_document() -> None:
    as_json = json.dumps(read_yaml(GOOD).value, default=float, indent=1).encode()
    assert read_document(as_json).value == read_yaml(GOOD).value
    assert parse_policy(as_json)[0] == parse_policy(GOOD.encode())[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "a": 2}', "1:10: a: the key 'a' is already in line 1"),
        ('{"a": [1,]}', "no comma may stand before ]"),
        ('{"a": 1\n "b": 2}', "2:2: is not valid JSON: a comma or } is missing here"),
        ('{"a" 1}', "a colon is missing"),
        ("{a: 1}", "a key in quotes is missing"),
        ('{"a": 1} x', "nothing may follow"),
        ('{"a": }', "a value is missing"),
        ('{"a": "x', "is not valid JSON: Unterminated string"),
        ('{"a": 1e5}', "1e5 is not a plain number"),
        ('{"a": NaN}', "a value is missing"),
        ("[" * 40, "nested more than 30"),
        ('{"a": ' + "9" * 30 + "}", "18 digits"),
    ],
)
def test_a_json_problem_is_reported_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(InvalidDocument) as raised:
        read_json(text)
    assert expected in str(raised.value)


def test_json_values_and_escapes_are_read_exactly() -> None:
    text = '{"a": "\\u00e9\\n", "b": [true, false, null, 1.50, -3], "c": {}}'
    assert read_json(text).value == {"a": "é\n", "b": [True, False, None, Decimal("1.50"), -3], "c": {}}
    assert read_json(text).place(("b", 3)) == (1, 44)


def test_a_document_that_is_too_large_or_not_utf8_is_refused() -> None:
    for content, expected in ((b" " * (MAX_BYTES + 1), "larger than 256 KiB"), (b"a: \xff", "1:4: is not UTF-8")):
        with pytest.raises(InvalidDocument) as raised:
            read_document(content)
        assert expected in str(raised.value)


def test_a_byte_order_mark_is_ignored() -> None:
    assert read_document("﻿a: 1".encode()).value == {"a": 1}


@pytest.mark.parametrize("value", [1.5, float("nan"), True, "1.5x", None])
def test_a_ratio_must_be_an_exact_number(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        Policy.model_validate({**read_yaml(GOOD).value, "allow": [[{"ctc_ratio_at_least": value}]]})
