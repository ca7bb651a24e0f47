"""Routes for dead letters, which are jobs that failed for good. Only heads of the cell may use them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from chassis.eventstore.event_store import NewId
from chassis.http.responses import json_response
from chassis.jobs import dead_letters
from chassis.jobs.dead_letters import Which
from chassis.postgres.database import Connection
from contracts.jobs import Kind, Service
from services.api.context import ContextDep
from services.api.dead_letters import openapi
from services.api.dead_letters.view import by, dead_letter, dead_letter_details, dead_letter_group
from services.api.http.access import AccessFirstRoute, Head
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.fields import NO_NUL

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/dead-letters", tags=["dead letters"])

# One transaction redrives all jobs of a request, in some seconds. To redrive more, a caller repeats the request.
MAX_REDRIVEN_AT_ONCE = 5_000


@router.get("", **openapi.LIST)
async def list_dead_letters(
    ctx: ContextDep,
    caller: Head,
    kind: Kind | None = None,
    service: Service | None = None,
    before: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    error_template: Annotated[str | None, Query(max_length=10_000, pattern=NO_NUL)] = None,
) -> Response:
    """List jobs that failed for good, newest first. ``before``: the last id of the previous page."""
    which = Which(kind=kind, service=service, error_template=error_template)
    async with ctx.database.connection() as connection:
        rows = await dead_letters.newest(connection, which, before=before, limit=limit)
    return json_response([dead_letter(row) for row in rows])


@router.get("/groups", **openapi.GROUPS)
async def list_groups(ctx: ContextDep, caller: Head, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Response:
    """Count the jobs that failed for good by service, kind and error, the largest groups first.

    Errors that differ only in numbers, ids and quoted names are one group, with the same ``error_template``.
    """
    async with ctx.database.connection() as connection:
        rows = await dead_letters.groups(connection, limit=limit)
    return json_response([dead_letter_group(row) for row in rows])


@router.post("/redrive", **openapi.REDRIVE_ALL)
async def redrive_all(
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: Head,
    body: openapi.RedriveAllRequest,
) -> Response:
    """Queue all matching jobs again, oldest first, at most 5,000 in a request."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        which = Which(kind=body.kind, service=body.service, error_template=body.error_template)
        changed = await dead_letters.redrive(connection, which, by(caller, body.reason), limit=MAX_REDRIVEN_AT_ONCE)
        left, _ = await dead_letters.count(connection, which)
        return CommandResult({"redriven": len(changed), "left": left})

    return await execute_command(ctx, caller, command_context, body.model_dump(mode="json"), handle)


@router.get("/{job_id:uuid}", **openapi.SHOW)
async def show_dead_letter(job_id: UUID, ctx: ContextDep, caller: Head) -> Response:
    """Return the job with its event and its history, even if it is no longer a dead letter."""
    async with ctx.database.connection() as connection:
        return json_response(dead_letter_details(*await dead_letters.show(connection, job_id)))


@router.post("/{job_id:uuid}/redrive", **openapi.REDRIVE)
async def redrive(
    job_id: UUID,
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: Head,
    body: openapi.RedriveRequest,
) -> Response:
    """Queue the job again. The response is like that of the command that first requested it."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        changed = await dead_letters.redrive(connection, Which(job_id), by(caller, body.reason))
        await dead_letters.require_taken(connection, job_id, changed)
        row, _ = await dead_letters.show(connection, job_id)
        return CommandResult(dead_letter(row), job_id, Kind(row["kind"]))

    async def load_result(connection: Connection, job_id: UUID) -> dict[str, object]:
        row, _ = await dead_letters.show(connection, job_id)
        return dead_letter(row)

    return await execute_command(
        ctx, caller, command_context, body.model_dump(mode="json"), handle, load_result=load_result
    )


@router.post("/{job_id:uuid}/discard", **openapi.DISCARD)
async def discard(
    job_id: UUID,
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: Head,
    body: openapi.DiscardRequest,
) -> Response:
    """Remove the job from the list. It stays failed."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        changed = await dead_letters.discard(connection, Which(job_id), by(caller, body.reason))
        await dead_letters.require_taken(connection, job_id, changed)
        return CommandResult(dead_letter_details(*await dead_letters.show(connection, job_id)))

    return await execute_command(ctx, caller, command_context, body.model_dump(mode="json"), handle)
