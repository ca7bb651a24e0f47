"""Routes for registrations."""

from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chassis.eventstore.event_store import NewId, fresh_ids
from chassis.http.responses import json_response
from chassis.postgres import notify
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from services.api.context import ContextDep, context_of
from services.api.http.access import AccessFirstRoute, CellMember, Student
from services.api.http.commands import CommandResult, execute_command, read_command_context
from services.api.http.fields import PathId
from services.api.http.presentation import decimal_text, instant_text
from services.api.personal_data.access_log import Accesses, Reading
from services.api.registrations import handlers, openapi, sql

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/registrations", tags=["registrations"])


@router.post("/{drive_id}/register", **openapi.REGISTER)
async def register(drive_id: PathId, request: Request, caller: Student) -> Response:
    """Register the caller. 403 if the drive is not posted or not open to the caller; 409 if already registered."""
    ctx, command_context = context_of(request), read_command_context(request)
    cause = command_context.cause(caller)
    if command_context.key is None:
        # Registrations come in bursts, so this is a single statement without an explicit transaction.
        async with ctx.database.connection() as connection:
            row = await handlers.register(connection, drive_id, caller.user_id, cause, fresh_ids(0))
        ctx.notifier.notify(notify.OUTBOX)
        return json_response(_registered(row, drive_id, caller), 201)

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        row = await handlers.register(connection, drive_id, caller.user_id, cause, new_id(0))
        return CommandResult(_registered(row, drive_id, caller), status=201)

    return await execute_command(ctx, caller, command_context, {}, handle)


@router.get("/mine", **openapi.MINE)
async def mine(
    ctx: ContextDep,
    caller: Student,
    deleted: Annotated[bool, Query(description="include registrations for deleted drives")] = False,
) -> Response:
    """Return the caller's registrations with their drives, newest first.

    With ``deleted=true`` the list includes registrations for deleted drives, with ``deleted_at`` and the last state of
    the drive.
    """
    async with ctx.database.transaction(isolation="repeatable_read", readonly=True) as connection:
        rows = await sql.of_student(connection, caller.user_id)
        if deleted:
            rows += await sql.of_student_deleted(connection, caller.user_id)
    rows.sort(key=lambda row: (row["registered_at"], row["registration_id"]), reverse=True)
    return json_response([_with_drive(row) for row in rows])


@router.get("/{drive_id}/check", **openapi.CHECK)
async def check(drive_id: PathId, request: Request, caller: Student) -> Response:
    """Return ``{registered}``: whether the caller is registered for this drive."""
    async with context_of(request).database.connection() as connection:
        registered = await sql.is_registered(connection, drive_id, caller.user_id)
    return json_response({"registered": registered})


@router.get("/{drive_id}/count", **openapi.COUNT)
async def count(drive_id: PathId, ctx: ContextDep, caller: CellMember) -> Response:
    """Return how many students are registered. 0 for an unknown drive."""
    async with ctx.database.connection() as connection:
        registered = await sql.count(connection, drive_id)
    return json_response({"drive_id": drive_id, "registered": registered})


@router.get("/{drive_id}/list", **openapi.LIST)
async def list_registrations(
    drive_id: PathId,
    ctx: ContextDep,
    accesses: Accesses,
    caller: CellMember,
) -> Response:
    """Return all registered students, in the order of their registration. Empty for an unknown drive."""
    await accesses.of_many(caller, Reading.REGISTRATIONS_LISTED)
    return await ctx.long_lists.array(sql.LIST, drive_id)


def _registered(row: asyncpg.Record, drive_id: int, caller: Principal) -> dict[str, Any]:
    return {
        "registration_id": row["registration_id"],
        "drive_id": drive_id,
        "student_id": caller.user_id,
        "registered_at": instant_text(row["registered_at"]),
    }


def _with_drive(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "registration_id": row["registration_id"],
        "drive_id": row["drive_id"],
        "student_id": row["student_id"],
        "registered_at": instant_text(row["registered_at"]),
        "company_name": row["company_name"],
        "job_title": row["job_title"],
        "job_description": row["job_description"],
        "status": row["status"],
        "min_cgpa": decimal_text(row["min_cgpa"]),
        "min_10th": decimal_text(row["min_10th"]),
        "min_12th": decimal_text(row["min_12th"]),
        "max_backlogs": row["max_backlogs"],
        "attendance_published": row["attendance_published"],
        "deleted_at": instant_text(row["deleted_at"]),
    }
