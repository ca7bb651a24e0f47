"""Cases: facts, and what a policy is expected to decide about them. A campus tests its policy with them."""

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
    """One case: applying to a drive, to several one after the other, or accepting an offer."""

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
    """``drives``: drives that cases name. ``source``: the published text that the cases are written from."""

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
    """``differences``: what is not as expected; empty when the case passes."""

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
        answer = judge_acceptance(policy, season, case.student, case.accept, give_up=case.give_up)
        return CaseResult(case.name, answer.verdict, answer.code, _acceptance_differences(case, answer))
    wanted = case.apply or ([case.drive] if case.drive is not None else [])
    drives = [_drive(file, each) for each in wanted]
    decisions = _decide_in_order(policy, season, case.student, drives, judge)
    verdicts, codes = [one.verdict.value for one in decisions], [one.code.value for one in decisions]
    return CaseResult(case.name, ", ".join(verdicts), ", ".join(codes), _differences(case, decisions, verdicts, codes))


def _drive(file: CaseFile, drive: DriveFacts | str) -> DriveFacts:
    if isinstance(drive, DriveFacts):
        return drive
    found = file.drives[drive]
    return found if found.id != "drive" else found.model_copy(update={"id": drive})


def _decide_in_order(
    policy: Policy, season: SeasonFacts, student: StudentFacts, drives: list[DriveFacts], judge: Judge
) -> list[Decision]:
    """Decide one application after the other; each one that is allowed is counted by the next."""
    decisions = []
    for drive in drives:
        decision = judge(policy, Facts(season=season, student=student, drive=drive))
        decisions.append(decision)
        if decision.allowed:
            made = ApplicationFacts(drive=drive, at=season.now, phase=drive.phase)
            student = student.model_copy(update={"applications": [*(student.applications or []), made]})
    return decisions


def _differences(case: Case, decisions: list[Decision], verdicts: list[str], codes: list[str]) -> tuple[str, ...]:
    last = decisions[-1]
    return _compared(
        [
            ("expect", _as_list(case.expect, len(verdicts)), verdicts),
            ("reason", _as_list(case.reason, len(codes)), codes),
            ("rule", case.rule, last.decided_by),
            ("message", case.message, last.message),
            ("missing", case.missing, list(last.missing)),
            ("exception", case.exception, list(last.helpful_exceptions)),
        ]
    )


def _acceptance_differences(case: Case, answer: Acceptance) -> tuple[str, ...]:
    after = answer.consequences
    return _compared(
        [
            ("expect", case.expect, answer.verdict.value),
            ("reason", case.reason, str(answer.code)),
            ("message", case.message, answer.message),
            ("missing", case.missing, list(answer.missing)),
            ("withdraws", case.withdraws, [each.drive for each in after.withdraws]),
            ("forfeits", case.forfeits, list(after.forfeits)),
            ("keeps", case.keeps, list(after.keeps)),
        ]
    )


def _as_list(expected: Any, length: int) -> Any:
    """Return one expected value for each decision; a single value is meant for all of them."""
    return [expected] * length if isinstance(expected, str) else expected


def _compared(pairs: list[tuple[str, Any, Any]]) -> tuple[str, ...]:
    return tuple(
        f"{name}: expected {expected}, got {actual}"
        for name, expected, actual in pairs
        if expected is not None and expected != actual
    )
