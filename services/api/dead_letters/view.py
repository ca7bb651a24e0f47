"""The API's representation of dead letters."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from chassis.jobs.dead_letters import By
from chassis.tokens import Principal
from services.api.http.presentation import instant_text

Row = asyncpg.Record


def by(caller: Principal, reason: str | None) -> By:
    return By(f"user {caller.user_id}", reason)


def dead_letter(row: Row) -> dict[str, Any]:
    copied = ("service", "kind", "subject", "state", "dead_lettered", "attempts", "requested_by", "correlation_id")
    return {
        "id": str(row["id"]),
        **{name: row[name] for name in copied},
        "reason": row["error"],
        "asked_at": instant_text(row["recorded_at"]),
        "queued_at": instant_text(row["queued_at"]),
        "started_at": instant_text(row["started_at"]),
        "ended_at": instant_text(row["finished_at"]),
    }


def dead_letter_group(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("service", "kind", "error_template", "newest_error", "jobs")},
        "first_ended_at": instant_text(row["first_ended_at"]),
        "last_ended_at": instant_text(row["last_ended_at"]),
    }


def dead_letter_details(row: Row, history: Sequence[Row]) -> dict[str, Any]:
    event = {"type": row["type"], "stream": row["subject"], "version": row["version"], "data": row["data"]}
    return {**dead_letter(row), "event": event if row["type"] else None, "history": _actions(history)}


def _actions(history: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            **{name: action[name] for name in ("action", "actor", "reason", "attempts")},
            "job_error": action["error"],
            "at": instant_text(action["at"]),
        }
        for action in history
    ]
