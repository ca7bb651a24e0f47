"""The route that shows the state of the installation: breakers, outbox, unfinished jobs, refreshes, schedule."""

import math
from typing import Any

import asyncpg
from fastapi import APIRouter
from fastapi.responses import Response

from chassis.http.responses import json_response
from contracts import topics
from services.api.context import ContextDep
from services.api.http.access import AccessFirstRoute, Head
from services.api.http.presentation import instant_text
from services.api.operations import openapi, sql

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/operations", tags=["operations"])


@router.get("", **openapi.SHOW)
async def show_operations(ctx: ContextDep, caller: Head) -> Response:
    """Return the state of the installation. The breakers are those of the API process that responds."""
    async with ctx.database.transaction(isolation="repeatable_read", readonly=True) as connection:
        found = await sql.installation(connection, probe_topic=topics.PROBE.name)
    refresh = found.refresh
    return json_response(
        {
            "breakers": ctx.breakers.states(),
            "outbox": {**found.outbox, "oldest_s": _seconds(found.outbox["oldest_s"])},
            "jobs": [{**row, "oldest_s": _seconds(row["oldest_s"])} for row in found.jobs],
            "dead_letters": found.dead_letters,
            "refresh": {
                "as_of": instant_text(refresh["as_of"]),
                "finished_at": instant_text(refresh["finished_at"]),
                "duration_s": refresh["duration_s"],
            },
            "slots": [_slot_object(row) for row in found.slots],
        }
    )


def _slot_object(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "slot": instant_text(row["slot"]),
        "requested_at": instant_text(row["recorded_at"]),
        "job_id": str(row["job_id"]),
        "state": row["state"],
        "finished_at": instant_text(row["finished_at"]),
    }


def _seconds(age_s: float | None) -> float | None:
    """Return an age rounded to milliseconds; ``None`` for none and for one that is not known."""
    return None if age_s is None or math.isinf(age_s) else round(max(age_s, 0), 3)
