"""Published policies give the expected verdicts for their cases, and the cases detect wrong evaluators."""

import json
from collections.abc import Callable
from dataclasses import replace

import jsonschema_rs
import pytest

from contracts.policy.document import Policy
from contracts.policy.values import DriveClass
from contracts.publish import FOLDER, POLICY
from services.api.policy.acceptance import judge_acceptance
from services.api.policy.adoption import adoption_report
from services.api.policy.cases import Case, Judge, run_case, run_cases
from services.api.policy.decision import Code, Decision, Verdict, judge_application
from services.api.policy.document_text import policy_text
from services.api.policy.facts import Facts, StudentFacts
from tests.policies.packs import PACKS, Pack

CASES = [(pack, case) for pack in PACKS for case in pack.cases]


@pytest.mark.parametrize(("pack", "case"), CASES, ids=[f"{pack.name}: {case.name}" for pack, case in CASES])
def test_case(pack: Pack, case: Case) -> None:
    assert run_case(pack.policy, pack.file, case).differences == ()


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_a_pack_is_complete(pack: Pack) -> None:
    """A pack has at least ten cases with different names, which cover both verdicts."""
    assert len(pack.cases) >= 10
    assert len({case.name for case in pack.cases}) == len(pack.cases)
    assert {"allowed", "refused"} <= {expected for case in pack.cases for expected in _expected(case)}


def _expected(case: Case) -> list[str]:
    return [case.expect] if isinstance(case.expect, str) else list(case.expect)


def test_there_are_ten_published_policies() -> None:
    assert len(PACKS) >= 10


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_a_published_policy_can_be_adopted(pack: Pack) -> None:
    assert adoption_report(pack.policy, pack.document).errors == []


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_every_rule_has_a_sentence(pack: Pack) -> None:
    lines = policy_text(pack.policy)
    rules = {line.rule for line in lines}
    for key in ("allow", "deny", "caps", "penalties", "hold", "levels"):
        assert {f"{key}[{number}]" for number in range(len(getattr(pack.policy, key)))} <= rules
    assert policy_text(pack.policy) == lines
    assert all(line.text.endswith((".", '"')) for line in lines)


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_the_published_schema_accepts_what_the_reader_accepts(pack: Pack) -> None:
    schema = jsonschema_rs.validator_for(json.loads((FOLDER / POLICY).read_text()))
    plain = json.loads(json.dumps(pack.document.value, default=float))
    assert [str(error) for error in schema.iter_errors(plain)] == []
    assert not schema.is_valid({**plain, "after_ofer": "rules"})


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_a_policy_survives_being_stored(pack: Pack) -> None:
    stored = pack.policy.model_dump_json(by_alias=True, exclude_unset=True)
    assert Policy.model_validate_json(stored) == pack.policy


# Mutants: evaluators with bugs that three existing portals have.


def frees_a_class_first(policy: Policy, facts: Facts) -> Decision:
    """Allow a class of companies before marks and branch are checked."""
    decision = judge_application(policy, facts)
    return _as(decision, allowed=True) if facts.drive.class_ is DriveClass.PSU else decision


def names_levels_that_are_gone(policy: Policy, facts: Facts) -> Decision:
    """Compare with level names that the schema no longer has, so that no level rule ever refuses."""
    decision = judge_application(policy, facts)
    gone = decision.code is Code.NO_ALTERNATIVE_HOLDS and "level_above" in policy.model_dump_json()
    return _as(decision, allowed=True) if gone else decision


def counts_before_it_inserts() -> Judge:
    """Count once and decide every application by that count, like parallel requests without a lock."""
    first: list[StudentFacts] = []

    def judge(policy: Policy, facts: Facts) -> Decision:
        first.append(facts.student)
        return judge_application(policy, facts.model_copy(update={"student": first[0]}))

    return judge


def refuses_what_is_unknown(policy: Policy, facts: Facts) -> Decision:
    decision = judge_application(policy, facts)
    return _as(decision, allowed=False) if decision.verdict is Verdict.UNDETERMINED else decision


def _as(decision: Decision, *, allowed: bool) -> Decision:
    return replace(decision, verdict=Verdict.ALLOWED if allowed else Verdict.REFUSED)


def failures(judge: Callable[[], Judge]) -> int:
    return sum(
        not run_case(pack.policy, pack.file, case, judge()).passed for pack, case in CASES if case.accept is None
    )


@pytest.mark.parametrize(
    "judge",
    [
        lambda: frees_a_class_first,
        lambda: names_levels_that_are_gone,
        counts_before_it_inserts,
        lambda: refuses_what_is_unknown,
    ],
    ids=["frees a class first", "names levels that are gone", "counts before it inserts", "refuses the unknown"],
)
def test_the_cases_catch_a_wrong_evaluator(judge: Callable[[], Judge]) -> None:
    assert failures(lambda: judge_application) == 0
    assert failures(judge) > 0


def test_a_failed_case_reports_the_difference() -> None:
    first = PACKS[0]
    broken = first.file.model_copy(update={"cases": [first.cases[0].model_copy(update={"expect": "refused"})]})
    assert run_cases(first.policy, broken)[0].differences == ("expect: expected ['refused'], got ['allowed']",)


def test_repeated_decisions_are_equal() -> None:
    """A result depends only on the facts, and not on a clock or on state."""
    for pack, case in CASES:
        assert run_case(pack.policy, pack.file, case) == run_case(pack.policy, pack.file, case)
        if case.accept is not None:
            first, second = (judge_acceptance(pack.policy, pack.file.season, case.student, case.accept) for _ in "12")
            assert first == second
