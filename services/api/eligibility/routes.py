"""Routes for eligibility."""

from typing import Annotated

import asyncpg
import orjson
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from chassis.errors import NotFound
from chassis.http.responses import json_response
from chassis.postgres.database import Connection
from contracts.drives import Criteria
from services.api.context import ContextDep, context_of
from services.api.drives import sql as drives
from services.api.drives.forms import criteria_of, json_object
from services.api.eligibility import openapi, sql
from services.api.eligibility.rules import Record, reasons_against
from services.api.http.access import AccessFirstRoute, Coordinator, Organizer, Student
from services.api.http.conditional import conditional_response, tagged
from services.api.http.fields import Backlogs, Cgpa, PathId, Percent, RequestBody
from services.api.http.long_lists import Write
from services.api.personal_data.access_log import Accesses, Reading

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/eligibility", tags=["eligibility"])


@router.get("/mine", **openapi.MINE)
async def mine(ctx: ContextDep, caller: Student) -> Response:
    """Return the posted drives that the caller may register for."""
    async with ctx.database.connection() as connection:
        rows = await sql.open_to(connection, caller.user_id)
    return json_response([dict(row) for row in rows])


@router.get("/{drive_id}/list", **openapi.LIST)
async def list_eligible(drive_id: PathId, ctx: ContextDep, accesses: Accesses, caller: Organizer) -> Response:
    """Return every student who meets the drive's criteria now. Empty for an unknown drive."""
    await accesses.of_many(caller, Reading.ELIGIBLE_LISTED)
    return await ctx.long_lists.array(sql.LIST, drive_id)


@router.post("/count", **openapi.COUNT)
async def count_eligible(request: Request, ctx: ContextDep, _caller: Organizer) -> Response:
    """Count the active students who meet these criteria now. An absent criterion sets no limit. Nothing is stored."""
    criteria = criteria_of(await json_object(request))
    async with ctx.database.connection() as connection:
        return json_response(await sql.count(connection, criteria))


class Filter(RequestBody):
    min_cgpa: Cgpa | None = None
    min_10th: Percent | None = None
    min_12th: Percent | None = None
    max_backlogs: Backlogs | None = None


@router.post("/{drive_id}/filter", **openapi.FILTER)
async def filter_students(
    drive_id: PathId,
    ctx: ContextDep,
    accesses: Accesses,
    caller: Coordinator,
    body: Annotated[Filter | None, Body()] = None,
) -> Response:
    """Return the students who would meet these criteria. An absent criterion sets no limit. Nothing is stored."""
    criteria = Criteria.model_validate((body or Filter()).model_dump())

    async def produce(connection: Connection, write: Write) -> None:
        if await drives.get(connection, drive_id) is None:
            raise NotFound("Drive not found")
        await sql.write_matching(connection, write, drive_id, criteria)

    await accesses.of_many(caller, Reading.ELIGIBLE_FILTERED)
    return await ctx.long_lists.answer(produce)


@router.get("/{drive_id}/check", **openapi.CHECK)
async def check(drive_id: PathId, request: Request, caller: Student) -> Response:
    """Return ``{eligible, reason, reasons}``: whether the caller may register, and the criteria that they fail."""
    async with context_of(request).database.connection() as connection:
        row = await sql.check(connection, drive_id, caller.user_id)
    eligible, reason, reasons = verdict(row)
    return conditional_response(
        request, tagged(orjson.dumps({"eligible": eligible, "reason": reason, "reasons": reasons}))
    )


def verdict(row: asyncpg.Record | None) -> tuple[bool, str, list[str]]:
    """Return whether the student may register, why, and the criteria that they fail. ``row``: of ``sql.CHECK``."""
    if row is None or row["student_id"] is None:
        return False, "No eligibility record found", []
    if row["status"] != "posted":
        return False, "Drive not posted yet", []
    criteria = Criteria.model_validate({name: row[name] for name in Criteria.model_fields})
    record = Record(**{name: row[name] for name in Record._fields})
    if reasons := reasons_against(record, criteria, active=row["active"]):
        return False, "Student does not meet eligibility criteria", list(reasons)
    if row["auto_published"]:
        return True, "Auto-published drive", []
    if row["selected"]:
        return True, "Selected by coordinator", []
    return False, "Not selected by coordinator", []
