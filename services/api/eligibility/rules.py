"""The reasons why a student is not eligible. A test compares these rules with the SQL function ``meets_criteria``."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from contracts.branches import branch_key
from contracts.drives import Criteria


class Reason(StrEnum):
    CGPA = "CGPA_BELOW_MIN"
    TENTH = "TENTH_BELOW_MIN"
    TWELFTH = "TWELFTH_BELOW_MIN"
    BACKLOGS = "TOO_MANY_BACKLOGS"
    BRANCH = "BRANCH_NOT_ASKED"
    BATCH = "BATCH_YEAR_NOT_ASKED"
    MISSING = "MARKS_MISSING"
    DEACTIVATED = "ACCOUNT_DEACTIVATED"


class Record(NamedTuple):
    """The marks that eligibility checks. CGPA is from 0 to 10, other marks are percentages; ``None``: not on record."""

    cgpa: Decimal | None
    tenth_percent: Decimal | None
    twelfth_percent: Decimal | None
    diploma_percent: Decimal | None
    active_backlogs: int | None
    branch: str | None
    batch_year: int | None


class CriterionVerdict(NamedTuple):
    """The result of one criterion: what the drive requires, what the record has, and the reason if it fails.

    ``judged_on``: the field of the record that ``actual`` comes from.
    """

    criterion: str
    judged_on: str
    required: Any
    actual: Any
    reason: Reason | None


def reasons_against(record: Record, criteria: Criteria, *, active: bool = True) -> list[Reason]:
    """Return each reason once, in the order of the criteria. Empty: the student is eligible.

    If ``active`` is false, the only reason is that the account is deactivated.
    """
    if not active:
        return [Reason.DEACTIVATED]
    return list(dict.fromkeys(reason for reason in _reasons(record, criteria) if reason))


def judged(record: Record, criteria: Criteria) -> list[CriterionVerdict]:
    """Return the verdict on each criterion that is set, in the order of the criteria."""
    fields = zip(Criteria.model_fields, _judged_on(record), _reasons(record, criteria), strict=True)
    return [
        CriterionVerdict(criterion, field, required, getattr(record, field), reason)
        for criterion, field, reason in fields
        if (required := getattr(criteria, criterion)) is not None
    ]


def _judged_on(record: Record) -> tuple[str, ...]:
    """Return the field of ``record`` that each criterion checks, in the order of the criteria."""
    return "cgpa", "tenth_percent", _twelfth_field(record), "active_backlogs", "branch", "batch_year"


def _twelfth_field(record: Record) -> str:
    """Return the field used as the 12th mark: ``diploma_percent`` if the student has a diploma and no 12th mark."""
    has_diploma_only = record.twelfth_percent is None and record.diploma_percent is not None
    return "diploma_percent" if has_diploma_only else "twelfth_percent"


def _reasons(record: Record, criteria: Criteria) -> tuple[Reason | None, ...]:
    """Return the reason for each criterion that the record fails, else ``None``, in the order of the criteria."""
    twelfth = getattr(record, _twelfth_field(record))
    return (
        _below(criteria.min_cgpa, record.cgpa, Reason.CGPA),
        _below(criteria.min_10th, record.tenth_percent, Reason.TENTH),
        _below(criteria.min_12th, twelfth, Reason.TWELFTH),
        _above(criteria.max_backlogs, record.active_backlogs),
        None if _is_accepted(criteria.branches, record.branch) else Reason.BRANCH,
        None if criteria.batch_years is None or record.batch_year in criteria.batch_years else Reason.BATCH,
    )


def _below(limit: Decimal | None, mark: Decimal | None, reason: Reason) -> Reason | None:
    if limit is None:
        return None
    if mark is None:
        return Reason.MISSING
    return reason if mark < limit else None


def _above(limit: int | None, count: int | None) -> Reason | None:
    if limit is None:
        return None
    if count is None:
        return Reason.MISSING
    return Reason.BACKLOGS if count > limit else None


def _is_accepted(branches: list[str] | None, branch: str | None) -> bool:
    """Return whether ``branch`` is one of ``branches``, ignoring spelling variants. ``None``: any branch."""
    if branches is None:
        return True
    return branch is not None and branch_key(branch) in map(branch_key, branches)
