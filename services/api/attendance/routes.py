"""Attendance over HTTP."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chassis.errors import NotFound
from chassis.eventstore.event_store import NewId
from chassis.http.responses import content_disposition
from chassis.postgres.database import Connection
from services.api.attendance import handlers, openapi, sql
from services.api.attendance.csv_file import attendance_csv
from services.api.attendance.forms import DriveNumber, mark_of
from services.api.context import ContextDep
from services.api.drives import sql as drives
from services.api.drives.forms import json_object
from services.api.http.access import AccessFirstRoute, Coordinator, Organizer
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.personal_data.access_log import Accesses, Reading

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/attendance", tags=["attendance"])


@router.post("/{drive_id}/mark", **openapi.MARK)
async def mark(
    drive_id: DriveNumber, request: Request, ctx: ContextDep, command_context: CommandContextDep, caller: Coordinator
) -> Response:
    """Mark a registered student PRESENT or ABSENT, or change the mark, until attendance is published.

    400 for an invalid field, or once attendance is published. 409 while registrations are open, or for a student who
    did not register.
    """
    student_id, status = mark_of(await json_object(request))

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        attendance_id = await handlers.mark(
            connection, drive_id, student_id, status, command_context.cause(caller), new_id
        )
        body = {"attendance_id": attendance_id, "drive_id": drive_id, "student_id": student_id, "status": status}
        return CommandResult(body)

    return await execute_command(ctx, caller, command_context, {"student_id": student_id, "status": status}, handle)


@router.get("/{drive_id}/list", **openapi.LIST)
async def list_attendance(drive_id: DriveNumber, ctx: ContextDep, accesses: Accesses, caller: Organizer) -> Response:
    """Return the students who were marked. Empty for an unknown drive."""
    await accesses.of_many(caller, Reading.ATTENDANCE_LISTED)
    return await ctx.long_lists.array(sql.LIST_JSON, drive_id)


@router.post("/{drive_id}/publish", **openapi.PUBLISH)
async def publish(
    drive_id: DriveNumber, ctx: ContextDep, command_context: CommandContextDep, caller: Coordinator
) -> Response:
    """Publish the attendance and finish the drive. 400 when it is already published, or no student was marked."""

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        await handlers.publish(connection, drive_id, command_context.cause(caller), new_id)
        return CommandResult({"message": "Attendance published"})

    try:
        return await execute_command(ctx, caller, command_context, {}, handle)
    finally:
        ctx.lists.drop()


@router.get("/{drive_id}/download-csv", **openapi.CSV)
async def download_csv(
    drive_id: DriveNumber,
    ctx: ContextDep,
    accesses: Accesses,
    caller: Organizer,
    bom: Annotated[bool, Query(description="start with a byte order mark, so that Excel reads UTF-8")] = False,
) -> Response:
    """Return the marks as a CSV file."""
    async with ctx.database.connection() as connection:
        if await drives.get(connection, drive_id) is None:
            raise NotFound("Drive not found")
        content = await attendance_csv(connection, drive_id, byte_order_mark=bom)
    await accesses.of_many(caller, Reading.ATTENDANCE_DOWNLOADED)
    name = f"attendance-{drive_id}-{time.time_ns() // 1_000_000}.csv"
    headers = {"Content-Disposition": content_disposition(name)}
    return Response(content, headers=headers, media_type="text/csv; charset=utf-8")
