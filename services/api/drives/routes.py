"""Routes for drives."""

import asyncio
import hashlib
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chassis.errors import NotFound
from chassis.eventstore.event_store import NewId
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.drives import DriveDeleted
from contracts.jobs import Kind
from contracts.users import ORGANIZERS
from services.api.context import Context, ContextDep, context_of
from services.api.drives import handlers, openapi, pdf_files, sql
from services.api.drives.decider import (
    Command,
    DeleteDrive,
    PublishDrive,
    RequestEligibility,
    ReviseDrive,
    StopRegistrations,
)
from services.api.drives.forms import changes_of, json_object, new_drive
from services.api.drives.publication import selected_students
from services.api.drives.view import drive_object
from services.api.http.access import AccessFirstRoute, Anyone, Coordinator, Head, Organizer
from services.api.http.body_limits import MAX_DRIVE_FORM, MAX_PUBLICATION
from services.api.http.commands import CommandContext, CommandContextDep, CommandHandler, CommandResult, execute_command
from services.api.http.conditional import conditional_response, tagged
from services.api.http.fields import PathId

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/drives", tags=["drives"])


@router.get("", **openapi.LIST)
async def list_drives(request: Request, caller: Anyone) -> Response:
    """Return drives, newest first. Students and staff see published drives only."""
    lists = context_of(request).lists
    visible = lists.all_drives if caller.role in ORGANIZERS else lists.published_drives
    return conditional_response(request, await visible.get())


@router.get("/{drive_id}", **openapi.GET)
async def get_drive(drive_id: PathId, request: Request, ctx: ContextDep, caller: Anyone) -> Response:
    """Return one drive. 404 also for a pending drive, if the caller is not an organizer."""
    async with ctx.database.connection() as connection:
        row = await sql.get(connection, drive_id)
    if row is None or (row["status"] == "pending" and caller.role not in ORGANIZERS):
        raise NotFound("Not found")
    return conditional_response(request, tagged(orjson.dumps(drive_object(row, ctx.links))))


@router.post("", max_body_size=MAX_DRIVE_FORM, **openapi.CREATE)
async def create_drive(request: Request, ctx: ContextDep, command_context: CommandContextDep, caller: Head) -> Response:
    """Create a drive from a form or JSON. With ``auto_calc``, publish it at once to every eligible student.

    400 when a field or the PDF is invalid. The response shows the committed drive.
    """
    form = await new_drive(request)
    fingerprint = form.posting.model_dump(mode="json") | {
        "auto_publish": form.auto_publish,
        "pdf": await asyncio.to_thread(_sha256, form.pdf.content) if form.pdf else None,
    }
    pdf = await pdf_files.store(ctx.storage, form.pdf) if form.pdf else None
    posting = form.posting.model_copy(update={"pdf_path": pdf.path, "pdf_name": pdf.name}) if pdf else form.posting

    may_be_committed = False

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        nonlocal may_be_committed
        drive_id, recorded = await handlers.create(
            connection,
            posting,
            caller.user_id,
            auto_publish=form.auto_publish,
            cause=command_context.cause(caller),
            new_id=new_id,
        )
        result = await _command_result(ctx, connection, drive_id, recorded, status=201)
        may_be_committed = True
        return result

    try:
        return await _execute_and_drop_lists(ctx, caller, command_context, fingerprint, handle)
    finally:
        # If ``handle`` did not finish, no event names this file: the command was refused, or another request with this
        # key created the drive. Otherwise an event may name the file, even if the commit reported an error.
        # Maintenance deletes files that no drive names.
        if pdf and not may_be_committed:
            await pdf_files.delete(ctx.storage, pdf.path)


@router.patch("/{drive_id}", **openapi.REVISE)
async def revise_drive(
    drive_id: PathId, request: Request, ctx: ContextDep, command_context: CommandContextDep, caller: Head
) -> Response:
    """Change fields of a drive that is pending or posted. New criteria of a posted drive are applied by a job."""
    fields = await json_object(request)
    return await _execute(ctx, caller, command_context, ReviseDrive(drive_id, changes_of(fields)), fields)


@router.post("/{drive_id}/publish", max_body_size=MAX_PUBLICATION, **openapi.PUBLISH)
async def publish_drive(
    drive_id: PathId,
    request: Request,
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: Organizer,
) -> Response:
    """Publish a drive, or publish it again. 422 if a selected student is not eligible. Then nothing changes."""
    selected = await selected_students(request)
    if selected is None:
        return await _execute(ctx, caller, command_context, PublishDrive(drive_id, caller.user_id), {})

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        recorded = await handlers.publish_listed(
            connection, drive_id, caller.user_id, selected, command_context.cause(caller), new_id
        )
        return await _command_result(ctx, connection, drive_id, recorded)

    return await _execute_and_drop_lists(ctx, caller, command_context, {"selected_students": selected.digest}, handle)


@router.post("/{drive_id}/trigger-eligibility", **openapi.TRIGGER)
async def trigger_eligibility(
    drive_id: PathId, ctx: ContextDep, command_context: CommandContextDep, caller: Head
) -> Response:
    """Evaluate all students again. A pending drive only counts the eligible students. A posted drive selects them."""
    message_body = {"message": "Eligibility filtering triggered successfully"}
    return await _execute(ctx, caller, command_context, RequestEligibility(drive_id), {}, message_body)


@router.post("/{drive_id}/stop-registrations", **openapi.STOP)
async def stop_registrations(
    drive_id: PathId, ctx: ContextDep, command_context: CommandContextDep, caller: Coordinator
) -> Response:
    """Change the status from posted to attending. Idempotent."""
    message_body = {"message": "Registrations stopped. Drive moved to attendance phase."}
    return await _execute(ctx, caller, command_context, StopRegistrations(drive_id), {}, message_body)


@router.delete("/{drive_id}", **openapi.DELETE)
async def delete_drive(drive_id: PathId, ctx: ContextDep, command_context: CommandContextDep, caller: Head) -> Response:
    """Delete the drive and its PDF. Also 200 when there is no such drive."""
    deletions: list[DriveDeleted] = []

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        events, appended = await handlers.handle(
            connection, DeleteDrive(drive_id), command_context.cause(caller), new_id
        )
        deletions.extend(event for event in events if isinstance(event, DriveDeleted))
        message_body = {"message": "Drive deleted successfully"}
        return await _command_result(ctx, connection, drive_id, (events, appended), message_body)

    response = await _execute_and_drop_lists(ctx, caller, command_context, {}, handle)
    for event in deletions:  # committed by this request; a repeated response has no events
        await pdf_files.delete(ctx.storage, event.pdf_path)
    return response


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _execute(
    ctx: Context,
    caller: Principal,
    command_context: CommandContext,
    command: Command,
    request_content: Any,
    message_body: dict[str, Any] | None = None,
) -> Response:
    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        recorded = await handlers.handle(connection, command, command_context.cause(caller), new_id)
        return await _command_result(ctx, connection, command.drive_id, recorded, message_body)

    return await _execute_and_drop_lists(ctx, caller, command_context, request_content, handle)


async def _execute_and_drop_lists(
    ctx: Context, caller: Principal, command_context: CommandContext, request_content: Any, handle: CommandHandler
) -> Response:
    """Execute a command and drop the cached lists, so that later requests do not get outdated lists."""
    try:
        return await execute_command(ctx, caller, command_context, request_content, handle)
    finally:
        ctx.lists.drop()


async def _command_result(
    ctx: Context,
    connection: Connection,
    drive_id: int,
    recorded: handlers.RecordedEvents,
    message_body: dict[str, Any] | None = None,
    *,
    status: int = 200,
) -> CommandResult:
    body = message_body
    if body is None:
        row = await sql.get(connection, drive_id)
        assert row is not None
        body = drive_object(row, ctx.links)
        if warnings := await handlers.warnings_about(connection, row["branches"] or []):
            body["warnings"] = warnings
    return CommandResult(body, handlers.job_of(recorded), Kind.ELIGIBILITY, status)
