"""Find the exception, granted by staff, that applies to a student and a drive."""

from typing import Literal

from services.api.policy.facts import DriveFacts, ExceptionFacts, Facts
from services.api.policy.text_values import same_text

Kind = Literal["criteria", "policy", "cap", "penalty"]
# The order in which exceptions are tried as suggestions: the one with the narrowest effect first.
KINDS: tuple[Kind, ...] = ("penalty", "cap", "criteria", "policy")
SPECIFICITY = {"both": 3, "student": 2, "drive": 2, "company": 1, "season": 0}


def exception_for(kind: Kind, facts: Facts) -> ExceptionFacts | None:
    """Return the exception that decides: the most specific one. Between equally specific ones, a denial decides."""
    in_force = [
        exception
        for exception in facts.student.exceptions
        if exception.of == kind
        and _covers(exception, facts.drive)
        and (exception.expires_at is None or facts.season.now < exception.expires_at)
    ]
    return max(in_force, key=lambda exception: (SPECIFICITY[exception.scope], exception.effect == "deny"), default=None)


def with_exceptions(facts: Facts, kinds: tuple[Kind, ...]) -> Facts:
    """Return ``facts`` as if these exceptions were granted to the student for this drive."""
    granted = [
        ExceptionFacts(id=f"suggested-{kind}", effect="allow", of=kind, scope="both", drive=facts.drive.id)
        for kind in kinds
    ]
    student = facts.student.model_copy(update={"exceptions": [*facts.student.exceptions, *granted]})
    return facts.model_copy(update={"student": student})


def _covers(exception: ExceptionFacts, drive: DriveFacts) -> bool:
    match exception.scope:
        case "both" | "drive":
            return exception.drive == drive.id
        case "company":
            if exception.company is None or drive.company is None:
                return False
            return same_text(exception.company, drive.company)
        case _:
            return True
