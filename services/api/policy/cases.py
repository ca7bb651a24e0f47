"""Test cases of a policy: facts, and the expected decisions. A campus tests its policy with them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from contracts.policy.document import Policy
from contracts.policy.values import PolicyModel, Text
from services.api.policy.acceptance import Acceptance, judge_acceptance
from services.api.policy.decision import Decision, judge_application
from services.api.policy.facts import ApplicationFacts, DriveFacts, Facts, Moment, SeasonFacts, StudentFacts

Expected = Literal["allowed", "refused", "undetermined"]
Judge = Callable[[Policy, Facts], Decision]


class Case(PolicyModel):
    """A test case: an application to a drive, several applications in order, or the acceptance of an offer."""

    name: Text
    student: StudentFacts = StudentFacts()
    drive: DriveFacts | Text | None = None
    apply: list[DriveFacts | Text] | None = None
    accept: Text | None = None
    give_up: list[Text] = Field(default=[])
    now: Moment | None = None
    expect: Expected | list[Expected]
    reason: Text | list[Text] | None = None
    rule: Text | None = None
    message: Text | None = None
    missing: list[Text] | None = None
    exception: list[Text] | None = None
    withdraws: list[Text] | None = None
    forfeits: list[Text] | None = None
    keeps: list[Text] | None = None

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if sum(part is not None for part in (self.drive, self.apply, self.accept)) != 1:
            raise PydanticCustomError("one_of", "must have exactly one of the keys drive, apply, accept")
        return self


class CaseFile(PolicyModel):
    """``drives``: drives that cases refer to by name. ``source``: the published text on which the cases are based."""

    source: Text | None = None
    season: SeasonFacts
    drives: dict[str, DriveFacts] = Field(default={})
    cases: list[Case] = Field(min_length=1)

    @model_validator(mode="after")
    def _drives_exist(self) -> Self:
        wanted = [name for case in self.cases for name in (case.drive, *(case.apply or [])) if isinstance(name, str)]
        if unknown := [name for name in wanted if name not in self.drives]:
            raise PydanticCustomError("no_drive", "there is no drive {name}", {"name": repr(unknown[0])})
        return self


@dataclass(frozen=True, slots=True)
class CaseResult:
    """``differences``: unexpected values; empty if the case passes."""

    name: str
    verdict: str
    reason: str
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.differences


def run_cases(policy: Policy, file: CaseFile, judge: Judge = judge_application) -> list[CaseResult]:
    """Return the result of each case. ``judge`` decides the applications."""
    return [run_case(policy, file, case, judge) for case in file.cases]


def run_case(policy: Policy, file: CaseFile, case: Case, judge: Judge = judge_application) -> CaseResult:
    season = file.season if case.now is None else file.season.model_copy(update={"now": case.now})
    if case.accept is not None:
        acceptance = judge_acceptance(policy, season, case.student, case.accept, give_up=case.give_up)
        return CaseResult(case.name, acceptance.verdict, acceptance.code, _acceptance_differences(case, acceptance))
    case_drives = case.apply or ([case.drive] if case.drive is not None else [])
    drives = [_drive(file, drive) for drive in case_drives]
    decisions = _decide_in_order(policy, season, case.student, drives, judge)
    verdicts = [decision.verdict.value for decision in decisions]
    codes = [decision.code.value for decision in decisions]
    return CaseResult(case.name, ", ".join(verdicts), ", ".join(codes), _differences(case, decisions, verdicts, codes))


def _drive(file: CaseFile, drive: DriveFacts | str) -> DriveFacts:
    if isinstance(drive, DriveFacts):
        return drive
    facts = file.drives[drive]
    return facts if facts.id != "drive" else facts.model_copy(update={"id": drive})


def _decide_in_order(
    policy: Policy, season: SeasonFacts, student: StudentFacts, drives: list[DriveFacts], judge: Judge
) -> list[Decision]:
    """Decide the applications in order. Later decisions count the applications that were allowed before."""
    decisions = []
    for drive in drives:
        decision = judge(policy, Facts(season=season, student=student, drive=drive))
        decisions.append(decision)
        if decision.allowed:
            application = ApplicationFacts(drive=drive, at=season.now, phase=drive.phase)
            student = student.model_copy(update={"applications": [*(student.applications or []), application]})
    return decisions


def _differences(case: Case, decisions: list[Decision], verdicts: list[str], codes: list[str]) -> tuple[str, ...]:
    last = decisions[-1]
    return _compare(
        [
            ("expect", _as_list(case.expect, len(verdicts)), verdicts),
            ("reason", _as_list(case.reason, len(codes)), codes),
            ("rule", case.rule, last.decided_by),
            ("message", case.message, last.message),
            ("missing", case.missing, list(last.missing)),
            ("exception", case.exception, list(last.helpful_exceptions)),
        ]
    )


def _acceptance_differences(case: Case, acceptance: Acceptance) -> tuple[str, ...]:
    after = acceptance.consequences
    return _compare(
        [
            ("expect", case.expect, acceptance.verdict.value),
            ("reason", case.reason, str(acceptance.code)),
            ("message", case.message, acceptance.message),
            ("missing", case.missing, list(acceptance.missing)),
            ("withdraws", case.withdraws, [each.drive for each in after.withdraws]),
            ("forfeits", case.forfeits, list(after.forfeits)),
            ("keeps", case.keeps, list(after.keeps)),
        ]
    )


def _as_list(expected: Any, length: int) -> Any:
    """Return an expected value for each decision. A single expected value applies to all decisions."""
    return [expected] * length if isinstance(expected, str) else expected


def _compare(pairs: list[tuple[str, Any, Any]]) -> tuple[str, ...]:
    return tuple(
        f"{name}: expected {expected}, got {actual}"
        for name, expected, actual in pairs
        if expected is not None and expected != actual
    )
