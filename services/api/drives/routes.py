"""Drives over HTTP."""

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
from services.api.context import Context, Ctx, context_of
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
from services.api.http.conditional import answered, tagged
from services.api.http.fields import PathId

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/drives", tags=["drives"])


@router.get("", **openapi.LIST)
async def list_drives(request: Request, who: Anyone) -> Response:
    """Drives, newest first. Students and staff see those that are published."""
    lists = context_of(request).lists
    seen = lists.all_drives if who.role in ORGANIZERS else lists.published_drives
    return answered(request, await seen.get())


@router.get("/{drive_id}", **openapi.GET)
async def get_drive(drive_id: PathId, request: Request, ctx: Ctx, who: Anyone) -> Response:
    """One drive. 404 also for one that this caller may not see yet."""
    async with ctx.database.connection() as connection:
        row = await sql.get(connection, drive_id)
    if row is None or (row["status"] == "pending" and who.role not in ORGANIZERS):
        raise NotFound("Not found")
    return answered(request, tagged(orjson.dumps(drive_object(row, ctx.links))))


@router.post("", max_body_size=MAX_DRIVE_FORM, **openapi.CREATE)
async def create_drive(request: Request, ctx: Ctx, command_context: CommandContextDep, who: Head) -> Response:
    """Write a drive down (form or JSON); with ``auto_calc`` publish it at once to everyone eligible.

    400 when a field or the PDF is wrong. The answer shows the drive as committed.
    """
    asked = await new_drive(request)
    fingerprint = asked.posting.model_dump(mode="json") | {
        "auto_publish": asked.auto_publish,
        "pdf": await asyncio.to_thread(_sha256, asked.pdf.content) if asked.pdf else None,
    }
    pdf = await pdf_files.store(ctx.storage, asked.pdf) if asked.pdf else None
    posting = asked.posting.model_copy(update={"pdf_path": pdf.path, "pdf_name": pdf.name}) if pdf else asked.posting

    may_be_committed = False

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        nonlocal may_be_committed
        drive_id, done = await handlers.create(
            connection,
            posting,
            who.user_id,
            auto_publish=asked.auto_publish,
            cause=command_context.cause(who),
            new_id=new_id,
        )
        committed = await _committed(ctx, connection, drive_id, done, status=201)
        may_be_committed = True
        return committed

    try:
        return await _changing(ctx, who, command_context, fingerprint, handle)
    finally:
        # Refused, or another request with this key made the drive: no event names this request's file. In other cases
        # an event may name it, even if the commit failed. Maintenance deletes files without a drive.
        if pdf and not may_be_committed:
            await pdf_files.delete(ctx.storage, pdf.path)


@router.patch("/{drive_id}", **openapi.REVISE)
async def revise_drive(
    drive_id: PathId, request: Request, ctx: Ctx, command_context: CommandContextDep, who: Head
) -> Response:
    """Change fields of a drive that is pending or posted. New criteria of a posted drive are applied by a job."""
    fields = await json_object(request)
    return await _perform(ctx, who, command_context, ReviseDrive(drive_id, changes_of(fields)), fields)


@router.post("/{drive_id}/publish", max_body_size=MAX_PUBLICATION, **openapi.PUBLISH)
async def publish_drive(
    drive_id: PathId,
    request: Request,
    ctx: Ctx,
    command_context: CommandContextDep,
    who: Organizer,
) -> Response:
    """Publish, or publish again. 422 when a selected student is not eligible; then nothing changes."""
    selected = await selected_students(request)
    if selected is None:
        return await _perform(ctx, who, command_context, PublishDrive(drive_id, who.user_id), {})

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        done = await handlers.publish_listed(
            connection, drive_id, who.user_id, selected, command_context.cause(who), new_id
        )
        return await _committed(ctx, connection, drive_id, done)

    return await _changing(ctx, who, command_context, {"selected_students": selected.digest}, handle)


@router.post("/{drive_id}/trigger-eligibility", **openapi.TRIGGER)
async def trigger_eligibility(drive_id: PathId, ctx: Ctx, command_context: CommandContextDep, who: Head) -> Response:
    """Evaluate the students again: a pending drive is only counted, a posted drive gets new selections."""
    said = {"message": "Eligibility filtering triggered successfully"}
    return await _perform(ctx, who, command_context, RequestEligibility(drive_id), {}, said)


@router.post("/{drive_id}/stop-registrations", **openapi.STOP)
async def stop_registrations(
    drive_id: PathId, ctx: Ctx, command_context: CommandContextDep, who: Coordinator
) -> Response:
    """Change the status from posted to attending. Idempotent."""
    said = {"message": "Registrations stopped. Drive moved to attendance phase."}
    return await _perform(ctx, who, command_context, StopRegistrations(drive_id), {}, said)


@router.delete("/{drive_id}", **openapi.DELETE)
async def delete_drive(drive_id: PathId, ctx: Ctx, command_context: CommandContextDep, who: Head) -> Response:
    """Delete the drive and its PDF. Also 200 when there is no such drive."""
    recorded: list[DriveDeleted] = []

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        events, appended = await handlers.handle(connection, DeleteDrive(drive_id), command_context.cause(who), new_id)
        recorded.extend(event for event in events if isinstance(event, DriveDeleted))
        said = {"message": "Drive deleted successfully"}
        return await _committed(ctx, connection, drive_id, (events, appended), said)

    answer = await _changing(ctx, who, command_context, {}, handle)
    for event in recorded:  # committed by this request; a repeated response has no events
        await pdf_files.delete(ctx.storage, event.pdf_path)
    return answer


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _perform(
    ctx: Context,
    who: Principal,
    command_context: CommandContext,
    command: Command,
    asked: Any,
    said: dict[str, Any] | None = None,
) -> Response:
    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        done = await handlers.handle(connection, command, command_context.cause(who), new_id)
        return await _committed(ctx, connection, command.drive_id, done, said)

    return await _changing(ctx, who, command_context, asked, handle)


async def _changing(
    ctx: Context, who: Principal, command_context: CommandContext, asked: Any, handle: CommandHandler
) -> Response:
    """Execute a command and drop the cached lists, so that no later request gets a list from before the change."""
    try:
        return await execute_command(ctx, who, command_context, asked, handle)
    finally:
        ctx.lists.drop()


async def _committed(
    ctx: Context,
    connection: Connection,
    drive_id: int,
    done: handlers.Done,
    said: dict[str, Any] | None = None,
    *,
    status: int = 200,
) -> CommandResult:
    body = said
    if body is None:
        row = await sql.get(connection, drive_id)
        assert row is not None
        body = drive_object(row, ctx.links)
        if warnings := await handlers.warnings_about(connection, row["branches"] or []):
            body["warnings"] = warnings
    return CommandResult(body, handlers.job_of(done), Kind.ELIGIBILITY, status)
