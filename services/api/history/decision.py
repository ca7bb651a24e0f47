"""Explain an evaluation's decision about one student from the criteria and the snapshot that the evaluation used."""

from typing import Any

import asyncpg

from contracts.drives import Criteria
from services.api.history.view import record_of, summary_of, verdicts
from services.api.http.presentation import instant_text


def decision_object(row: asyncpg.Record | None, record: asyncpg.Record | None) -> dict[str, Any] | None:
    """Return the decision. ``row``: of ``sql.DECISION``. ``record``: of ``sql.RECORD_SEEN``, if the student had one."""
    if row is None:
        return None
    request = row["request"]
    has_list = (request.get("requested") or request.get("requested_version")) is not None
    criteria = Criteria.model_validate(request["criteria"])
    criterion_verdicts = verdicts(record_of(record["record"]), criteria) if record else []
    summary = summary_of(criterion_verdicts, active=record is None or record["active"])
    return {
        "drive_version": row["data"]["drive_version"],
        "judged_by": row["version"],
        "job_id": row["data"]["job_id"],
        "evaluated_at": instant_text(row["recorded_at"]),
        "record_version": record["version"] if record else None,
        **summary,
        "eligible": summary["eligible"] and record is not None,
        "listed": row["on_list"] if has_list else None,
        "selected": row["selected"],
    }
