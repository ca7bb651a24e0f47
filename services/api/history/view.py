"""The API's representation of verdicts, evaluations and changes of a drive."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import asyncpg

from contracts.drives import (
    AttendancePublished,
    Criteria,
    DriveCreated,
    DriveDeleted,
    DrivePublished,
    DriveRevised,
    EligibilityRequested,
    Posting,
    ReevaluationRequested,
)
from contracts.eligibility import EligibilityEvaluated, EligibilityFailed
from contracts.students import AcademicRecord
from services.api.eligibility.rules import Reason, Record, judged
from services.api.http.presentation import decimal_text, instant_text

# Facts of each event type, without the fields of the posting. Name in the response, and path in the event's data.
FACTS: dict[str, dict[str, str]] = {
    DrivePublished.TYPE: {"auto_published": "auto_published", "listed": "requested.count"},
    EligibilityRequested.TYPE: {"posted": "posted"},
    ReevaluationRequested.TYPE: {"students": "students", "import_id": "import_id"},
    AttendancePublished.TYPE: {"registered": "registered", "present": "present", "absent": "absent"},
    DriveDeleted.TYPE: {"registered": "registered"},
    EligibilityEvaluated.TYPE: {
        "drive_version": "drive_version",
        "students": "students",
        "eligible": "eligible",
        "selected": "selected.count",
        "newly_selected": "added.count",
        "no_longer_selected": "revoked.count",
        "registered_no_longer_eligible": "registered_no_longer_eligible",
    },
    EligibilityFailed.TYPE: {"drive_version": "drive_version", "reason": "reason"},
}


def criteria_object(criteria: Criteria) -> dict[str, Any]:
    return {name: _value(getattr(criteria, name)) for name in Criteria.model_fields}


def verdicts(record: Record, criteria: Criteria) -> list[dict[str, Any]]:
    """Return a verdict for each criterion that is set."""
    return [
        {
            "criterion": verdict.criterion,
            "judged_on": verdict.judged_on,
            "required": _value(verdict.required),
            "actual": _value(verdict.actual),
            "met": verdict.reason is None,
            "reason": verdict.reason,
        }
        for verdict in judged(record, criteria)
    ]


def summary_of(criteria: list[dict[str, Any]], *, active: bool = True) -> dict[str, Any]:
    """Return the overall verdict. ``criteria``: the result of ``verdicts``. Each reason is listed once.

    If ``active`` is false, the only reason is that the account is deactivated.
    """
    reasons = list(dict.fromkeys(verdict["reason"] for verdict in criteria if verdict["reason"]))
    if not active:
        reasons = [Reason.DEACTIVATED]
    return {"eligible": not reasons, "criteria": criteria, "reasons": reasons}


def record_of(data: Mapping[str, Any]) -> Record:
    """Return the marks that eligibility checks, from a record in the log."""
    record = AcademicRecord.model_validate(data)
    return Record(**{name: getattr(record, name) for name in Record._fields})


def evaluation_object(row: asyncpg.Record | None) -> dict[str, Any] | None:
    """Return the evaluation object for a row of ``sql.NEWEST_EVALUATION``."""
    if row is None:
        return None
    facts = _facts(EligibilityEvaluated.TYPE, row["data"])
    return {**facts, "evaluated_at": instant_text(row["recorded_at"]), "job_id": row["data"]["job_id"]}


def change_object(row: asyncpg.Record) -> dict[str, Any]:
    """Return the change object for a row of ``sql.HISTORY``. ``actor`` is null if no user caused the change."""
    actor_id = row["metadata"].get("actor_id")
    return {
        "position": row["position"],
        "version": row["version"],
        "type": row["type"],
        "at": instant_text(row["recorded_at"]),
        "source": row["metadata"]["source"],
        "actor": None if actor_id is None else {"user_id": actor_id, "name": row["name"], "role": row["role"]},
        "changes": _changes(row["type"], row["data"], row["posting"]),
        "facts": _facts(row["type"], row["data"]),
    }


def _changes(type_: str, data: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the changed fields, with an entry for each criterion. For a new drive, return every field that is set."""
    if type_ not in (DriveCreated.TYPE, DriveRevised.TYPE):
        return []
    old, new = _fields(before), _fields(data["posting"])
    return [{"field": name, "before": old[name], "after": new[name]} for name in new if old[name] != new[name]]


def _fields(data: Mapping[str, Any] | None) -> dict[str, Any]:
    if data is None:
        names = [name for name in Posting.model_fields if name != "criteria"]
        return dict.fromkeys([*names, *Criteria.model_fields])
    posting = Posting.model_validate(data)
    plain = {name: _value(getattr(posting, name)) for name in Posting.model_fields if name != "criteria"}
    return plain | criteria_object(posting.criteria)


def _facts(type_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _at(data, path) for name, path in FACTS.get(type_, {}).items()}


def _at(data: Any, path: str) -> Any:
    for name in path.split("."):
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
