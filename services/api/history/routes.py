"""Routes for time travel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from chassis.errors import Forbidden, Invalid, NotFound
from chassis.http.responses import json_response
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.drives import DrivePublished
from contracts.message import MAX_INTEGER
from contracts.users import ORGANIZERS, Role
from services.api.context import Context, ContextDep
from services.api.history import openapi, sql
from services.api.history.decision import decision_object
from services.api.history.drive_as_of import DriveAsOf, drive_as_of
from services.api.history.moment import WITHIN_A_MILLISECOND, At
from services.api.history.view import change_object, criteria_object, evaluation_object, record_of, summary_of, verdicts
from services.api.http.access import AccessFirstRoute, Anyone, CellMember, Organizer
from services.api.http.fields import PathId
from services.api.http.presentation import decimal_text, instant_text
from services.api.personal_data.access_log import Accesses, Reading

router = APIRouter(route_class=AccessFirstRoute, prefix="/api", tags=["the past"])

MARKS = ("tenth_percent", "twelfth_percent", "diploma_percent", "cgpa")


@router.get("/drives/{drive_id}/eligibility", **openapi.ELIGIBILITY)
async def eligibility(
    drive_id: PathId,
    ctx: ContextDep,
    accesses: Accesses,
    caller: Organizer,
    at: At = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=MAX_INTEGER, description="`next` of the previous page")] = 0,
) -> Response:
    """Return who was eligible at a moment, by the criteria and marks recorded up to that moment.

    Continue with ``next`` until it is null. A page that is not full may have a next page.
    """
    async with _snapshot_at(ctx, at) as (connection, moment):
        drive = drive_as_of(await sql.drive_events(connection, drive_id, moment))
        evaluation = await sql.newest_evaluation(connection, drive_id, moment)
        rows, next_after = await sql.eligible(connection, drive_id, moment, drive.criteria, after=after, limit=limit)
    await accesses.of_page(caller, Reading.ELIGIBLE_LISTED_AS_OF, [row["student_id"] for row in rows])
    fields = openapi.PastEligibleStudent.model_fields
    students = [{name: decimal_text(row[name]) if name in MARKS else row[name] for name in fields} for row in rows]
    return json_response(
        {
            **_drive(drive_id, moment, drive),
            "criteria": criteria_object(drive.criteria),
            "evaluation": evaluation_object(evaluation),
            "students": students,
            "next": next_after,
        }
    )


@router.get("/eligibility/{drive_id}/explain", **openapi.EXPLAIN)
async def explain(
    drive_id: PathId,
    ctx: ContextDep,
    accesses: Accesses,
    caller: Anyone,
    student_id: Annotated[
        int | None, Query(ge=1, le=MAX_INTEGER, description="optional for students, who see themselves")
    ] = None,
    at: At = None,
) -> Response:
    """Explain why a student was eligible or not at a moment, and the last decision. Students see only themselves.

    404 also for a drive that this caller could not see at that moment, and for a moment before the enrolment.
    """
    student_id = _requested_student(caller, student_id)
    async with _snapshot_at(ctx, at) as (connection, moment):
        events = await sql.drive_events(connection, drive_id, moment)
        # Students and staff get the response for an unknown drive, so that an unpublished drive is not revealed.
        published = any(row["type"] == DrivePublished.TYPE and row["before_cutoff"] for row in events)
        if not (published or caller.role in ORGANIZERS):
            raise NotFound("Drive not found")
        drive = drive_as_of(events)
        record = await sql.record(connection, student_id, moment)
        if record["record"] is None:
            raise NotFound(
                "This student was not enrolled yet at that moment." if record["known"] else "Student not found"
            )
        decision = await sql.decision(connection, drive_id, moment, student_id)
        seen = await sql.record_seen(connection, student_id, decision["data"]["snapshot"]) if decision else None
    await accesses.of_one(caller, Reading.DECISION_EXPLAINED, student_id)
    criteria = verdicts(record_of(record["record"]), drive.criteria)
    return json_response(
        {
            **_drive(drive_id, moment, drive),
            "student_id": student_id,
            "record_version": record["version"],
            **summary_of(criteria, active=record["active"]),
            "decision": decision_object(decision, seen),
        }
    )


@router.get("/drives/{drive_id}/history", **openapi.HISTORY)
async def history(
    drive_id: PathId,
    ctx: ContextDep,
    caller: CellMember,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int, Query(ge=1, le=2**53 - 1, description="`position` of the last change seen")] = 2**53 - 1,
) -> Response:
    """Return the changes of a drive, newest first: who, when and what. Works for deleted drives too.

    Staff see drives that were published at some time. Continue with ``before`` until a page is shorter than ``limit``.
    """
    async with _snapshot_at(ctx, None) as (connection, moment):
        events = await sql.drive_events(connection, drive_id, moment)
        published = any(row["type"] == DrivePublished.TYPE for row in events)
        if not events or not (published or caller.role in ORGANIZERS):
            raise NotFound("Drive not found")
        rows = await sql.history(connection, drive_id, before=before, limit=limit)
    return json_response([change_object(row) for row in rows])


@asynccontextmanager
async def _snapshot_at(ctx: Context, at: datetime | None) -> AsyncIterator[tuple[Connection, datetime]]:
    """Yield a connection in one snapshot, and the requested moment. Raises ``Invalid`` for a moment in the future."""
    async with ctx.database.transaction(isolation="repeatable_read", readonly=True) as connection:
        now = await sql.now(connection)
        if at is not None and at - WITHIN_A_MILLISECOND > now:
            raise Invalid("at must be a moment in the past.")
        yield connection, at or now


def _requested_student(caller: Principal, student_id: int | None) -> int:
    if caller.role is Role.STUDENT:
        if student_id not in (None, caller.user_id):
            raise Forbidden("You can only query your own data.")
        return caller.user_id
    if student_id is None:
        raise Invalid("student_id is missing: name a student.")
    return student_id


def _drive(drive_id: int, moment: datetime, drive: DriveAsOf) -> dict[str, Any]:
    return {
        "drive_id": drive_id,
        "at": instant_text(moment),
        "status": drive.status,
        "drive_version": drive.version,
    }
