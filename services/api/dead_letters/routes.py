"""Dead letters over HTTP, for the head of the cell: jobs that were given up."""

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
from services.api.context import Ctx
from services.api.dead_letters import openapi
from services.api.dead_letters.view import by, letter, whole_letter
from services.api.http.access import AccessFirstRoute, Head
from services.api.http.commands import CommandContextDep, CommandResult, execute_command

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/dead-letters", tags=["dead letters"])

# One transaction: some seconds. Who has more asks again.
MOST_AT_ONCE = 5_000


@router.get("", **openapi.LIST)
async def list_dead_letters(
    ctx: Ctx,
    who: Head,
    kind: Kind | None = None,
    service: Service | None = None,
    before: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Jobs that were given up, newest first. ``before``: the last id of the page before."""
    async with ctx.database.connection() as connection:
        rows = await dead_letters.newest(connection, Which(kind=kind, service=service), before=before, limit=limit)
    return json_response([letter(row) for row in rows])


@router.post("/redrive", **openapi.REDRIVE_ALL)
async def redrive_all(
    ctx: Ctx,
    command_context: CommandContextDep,
    who: Head,
    body: openapi.AllAgain,
) -> Response:
    """Queue all matching jobs again, oldest first, at most 5,000 in a request."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        which = Which(kind=body.kind, service=body.service)
        taken = await dead_letters.redrive(connection, which, by(who, body.reason), limit=MOST_AT_ONCE)
        left, _ = await dead_letters.count(connection, which)
        return CommandResult({"redriven": len(taken), "left": left})

    return await execute_command(ctx, who, command_context, body.model_dump(mode="json"), handle)


@router.get("/{job_id:uuid}", **openapi.SHOW)
async def show_dead_letter(job_id: UUID, ctx: Ctx, who: Head) -> Response:
    """Return the job with its event and its history, even if it is no longer dead."""
    async with ctx.database.connection() as connection:
        return json_response(whole_letter(*await dead_letters.show(connection, job_id)))


@router.post("/{job_id:uuid}/redrive", **openapi.REDRIVE)
async def redrive(
    job_id: UUID,
    ctx: Ctx,
    command_context: CommandContextDep,
    who: Head,
    body: openapi.Again,
) -> Response:
    """Queue the job again. The response is like that of the command that first requested it."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        taken = await dead_letters.redrive(connection, Which(job_id), by(who, body.reason))
        await dead_letters.require_taken(connection, job_id, taken)
        row, _ = await dead_letters.show(connection, job_id)
        return CommandResult(letter(row), job_id, Kind(row["kind"]))

    async def ended(connection: Connection, job_id: UUID) -> dict[str, object]:
        row, _ = await dead_letters.show(connection, job_id)
        return letter(row)

    return await execute_command(ctx, who, command_context, body.model_dump(mode="json"), handle, load_result=ended)


@router.post("/{job_id:uuid}/discard", **openapi.DISCARD)
async def discard(
    job_id: UUID,
    ctx: Ctx,
    command_context: CommandContextDep,
    who: Head,
    body: openapi.Dropped,
) -> Response:
    """Let it rest: it stays failed, and is listed no more."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        taken = await dead_letters.discard(connection, Which(job_id), by(who, body.reason))
        await dead_letters.require_taken(connection, job_id, taken)
        return CommandResult(whole_letter(*await dead_letters.show(connection, job_id)))

    return await execute_command(ctx, who, command_context, body.model_dump(mode="json"), handle)
