"""Exceptions that staff granted: which of them holds for a student and a drive."""

from typing import Literal

from services.api.policy.facts import DriveFacts, ExceptionFacts, Facts
from services.api.policy.text_values import same_text

Kind = Literal["criteria", "policy", "cap", "penalty"]
# The order in which exceptions are tried when one is suggested: the narrowest effect first.
KINDS: tuple[Kind, ...] = ("penalty", "cap", "criteria", "policy")
SPECIFICITY = {"both": 3, "student": 2, "drive": 2, "company": 1, "season": 0}


def exception_for(kind: Kind, facts: Facts) -> ExceptionFacts | None:
    """Return the exception that decides. The most specific wins; of two that are equally specific, the denial."""
    in_force = [
        one
        for one in facts.student.exceptions
        if one.of == kind
        and _covers(one, facts.drive)
        and (one.expires_at is None or facts.season.now < one.expires_at)
    ]
    return max(in_force, key=lambda one: (SPECIFICITY[one.scope], one.effect == "deny"), default=None)


def with_exceptions(facts: Facts, kinds: tuple[Kind, ...]) -> Facts:
    """Return ``facts`` as if these exceptions were granted to the student for this drive."""
    granted = [
        ExceptionFacts(id=f"suggested-{kind}", effect="allow", of=kind, scope="both", drive=facts.drive.id)
        for kind in kinds
    ]
    student = facts.student.model_copy(update={"exceptions": [*facts.student.exceptions, *granted]})
    return facts.model_copy(update={"student": student})


def _covers(one: ExceptionFacts, drive: DriveFacts) -> bool:
    match one.scope:
        case "both" | "drive":
            return one.drive == drive.id
        case "company":
            return one.company is not None and drive.company is not None and same_text(one.company, drive.company)
        case _:
            return True
