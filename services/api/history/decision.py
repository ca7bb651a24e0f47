"""Explain an evaluation's decision about one student from the criteria and the snapshot that the evaluation used."""

from typing import Any

import asyncpg

from contracts.drives import Criteria
from services.api.history.view import record_of, summary_of, verdicts
from services.api.http.presentation import instant_text


def decision_object(row: asyncpg.Record | None, known: asyncpg.Record | None) -> dict[str, Any] | None:
    """Return the decision from rows of ``sql.DECISION`` and ``sql.RECORD_SEEN``. ``known`` null: not enrolled yet."""
    if row is None:
        return None
    asked = row["asked"]
    listed = (asked.get("requested") or asked.get("requested_version")) is not None
    criteria = Criteria.model_validate(asked["criteria"])
    judged = verdicts(record_of(known["record"]), criteria) if known else []
    found = summary_of(judged, active=known is None or known["active"])
    return {
        "drive_version": row["data"]["drive_version"],
        "judged_by": row["version"],
        "job_id": row["data"]["job_id"],
        "evaluated_at": instant_text(row["recorded_at"]),
        "record_version": known["version"] if known else None,
        **found,
        "eligible": found["eligible"] and known is not None,
        "listed": row["on_list"] if listed else None,
        "selected": row["selected"],
    }
