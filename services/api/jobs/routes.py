"""Routes for jobs: list them, read one, follow one with server-sent events, cancel one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from chassis.eventstore.event_store import NewId
from chassis.http.responses import json_response
from chassis.jobs import queue
from chassis.jobs.queue import job_of
from chassis.postgres import notify
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.jobs import Kind, State
from contracts.users import ORGANIZERS
from services.api.context import ContextDep
from services.api.exports import handlers
from services.api.http.access import AccessFirstRoute, Anyone, CellMember
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.fields import NO_NUL
from services.api.http.presentation import job_object
from services.api.jobs import openapi, sql
from services.api.jobs.following import (
    FOLLOWER,
    EventStream,
    event_id,
    events,
    events_url,
    visible,
)

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/jobs", tags=["jobs"])


class LinkQuery:
    """Query parameters of ``events_url``. ``SignedInOrLinked`` checks them first."""

    def __init__(
        self,
        user: Annotated[str, Query(description="part of the link")] = "",
        role: Annotated[str, Query(description="part of the link")] = "",
        version: Annotated[str, Query(description="part of the link")] = "",
        exp: Annotated[str, Query(description="part of the link: its expiry (Unix time, seconds)")] = "",
        sig: Annotated[str, Query(description="part of the link: its signature", max_length=64)] = "",
    ) -> None:
        pass


@router.get("", **openapi.LIST)
async def list_jobs(
    ctx: ContextDep,
    caller: Anyone,
    state: State | None = None,
    before: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    kind: Kind | None = None,
    subject: Annotated[str | None, Query(max_length=200, pattern=NO_NUL, examples=["drive-42"])] = None,
) -> Response:
    """List the caller's jobs, newest first. HEAD and COORDINATOR see all. ``before``: the last id received."""
    requested_by = None if caller.role in ORGANIZERS else caller.user_id
    async with ctx.database.connection() as connection:
        rows = await sql.newest(
            connection, requested_by=requested_by, state=state, before=before, limit=limit, kind=kind, subject=subject
        )
    return json_response([job_object(job_of(row)) for row in rows])


@router.get("/{job_id}", **openapi.GET)
async def get_job(job_id: UUID, ctx: ContextDep, caller: Anyone) -> Response:
    """Return a job. 404 also for another user's job. ``events_url`` is a link for a browser's ``EventSource``."""
    job = visible(await ctx.jobs.read(job_id), caller)
    return json_response(job_object(job) | {"events_url": events_url(ctx.links, job.id, caller)})


@router.get("/{job_id}/events", response_class=StreamingResponse, **openapi.FOLLOW)
async def follow_job(
    job_id: UUID,
    request: Request,
    ctx: ContextDep,
    caller: Annotated[Principal, Depends(FOLLOWER)],
    link: Annotated[LinkQuery, Depends()],
    last_event_id: Annotated[str | None, Header(description="The id of the client's last event.")] = None,
) -> Response:
    """Send the job each time it changes, as server-sent events named ``job``. The stream closes when the job ends.

    Needs a token, or the job's ``events_url``. 204 if the client has received the last event already. The 204 stops an
    ``EventSource`` from reconnecting.
    """
    job = visible(await ctx.jobs.read(job_id), caller)
    if job.state.ended and last_event_id == event_id(job):
        return Response(status_code=204)
    state = request.app.state
    stream = events(ctx, state.guard, caller, job, last_event_id, state.stopping)
    return EventStream(stream, state.open_streams, caller.user_id)


@router.post("/{job_id}/cancel", **openapi.CANCEL)
async def cancel_job(
    job_id: UUID,
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: CellMember,
) -> Response:
    """Cancel an export. Only its requester and heads may cancel it. A worker that writes it stops at once."""

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        await handlers.cancel(connection, job_id, caller, command_context.cause(caller), new_id)
        job = await queue.read(connection, job_id)
        assert job is not None
        return CommandResult(job_object(job))

    response = await execute_command(ctx, caller, command_context, {}, handle)
    ctx.notifier.notify(notify.JOB, str(job_id))
    return response
