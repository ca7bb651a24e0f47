"""Jobs over HTTP, one at a time as they move (server-sent events), or as a list."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from chassis import jobs, notify
from chassis.database import Connection
from chassis.event_store import NewId
from chassis.identity import Principal
from chassis.jobs import job_of
from chassis.responses import json_response
from contracts.jobs import Kind, State
from contracts.users import Role
from services.api.access import ANYONE, AccessFirstRoute, allow
from services.api.commands import Ask, Committed, perform
from services.api.context import Ctx
from services.api.exports import handlers
from services.api.fields import NO_NUL
from services.api.jobs import documents, sql
from services.api.jobs.following import (
    FOLLOWER,
    SEES_ALL,
    EventStream,
    event_id,
    events,
    events_url,
    visible,
)
from services.api.jobs.view import job_object

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/jobs", tags=["jobs"])


class LinkQuery:
    """Query parameters of ``events_url``. ``SignedInOrLinked`` checks them first."""

    def __init__(
        self,
        user: Annotated[str, Query(description="of the link")] = "",
        role: Annotated[str, Query(description="of the link")] = "",
        version: Annotated[str, Query(description="of the link")] = "",
        exp: Annotated[str, Query(description="of the link: its expiry (Unix time, seconds)")] = "",
        sig: Annotated[str, Query(description="of the link: its signature", max_length=64)] = "",
    ) -> None:
        pass


@router.get("", **documents.LIST)
async def list_jobs(
    ctx: Ctx,
    who: Annotated[Principal, allow(*ANYONE)],
    state: State | None = None,
    before: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    kind: Kind | None = None,
    subject: Annotated[str | None, Query(max_length=200, pattern=NO_NUL, examples=["drive-42"])] = None,
) -> Response:
    """Newest first; one's own, for HEAD and COORDINATOR everyone's. ``before``: the last id of the page before."""
    asked_by = None if who.role in SEES_ALL else who.user_id
    async with ctx.database.connection() as connection:
        rows = await sql.newest(
            connection, asked_by=asked_by, state=state, before=before, most=limit, kind=kind, subject=subject
        )
    return json_response([job_object(job_of(row)) for row in rows])


@router.get("/{job_id}", **documents.GET)
async def get_job(job_id: UUID, ctx: Ctx, who: Annotated[Principal, allow(*ANYONE)]) -> Response:
    """Return a job. 404 also for another user's job. ``events_url`` is a link for a browser's ``EventSource``."""
    job = visible(await ctx.jobs.read(job_id), who)
    return json_response(job_object(job) | {"events_url": events_url(ctx.links, job.id, who)})


@router.get("/{job_id}/events", response_class=StreamingResponse, **documents.FOLLOW)
async def follow_job(
    job_id: UUID,
    request: Request,
    ctx: Ctx,
    who: Annotated[Principal, Depends(FOLLOWER)],
    link: Annotated[LinkQuery, Depends()],
    last_event_id: Annotated[str | None, Header(description="The id of the client's last event.")] = None,
) -> Response:
    """Send the job each time it changes, as server-sent events named ``job``. The stream closes when the job ends.

    Needs a token, or the job's ``events_url``. 204 when the client has received the last event already, which
    stops an ``EventSource`` from reconnecting.
    """
    job = visible(await ctx.jobs.read(job_id), who)
    if job.state.ended and last_event_id == event_id(job):
        return Response(status_code=204)
    state = request.app.state
    stream = events(ctx, state.guard, who, job, last_event_id, state.stopping)
    return EventStream(stream, state.open_streams, who.user_id)


@router.post("/{job_id}/cancel", **documents.CANCEL)
async def cancel_job(
    job_id: UUID,
    ctx: Ctx,
    ask: Ask,
    who: Annotated[Principal, allow(Role.STAFF, Role.COORDINATOR, Role.HEAD)],
) -> Response:
    """Cancel an export. Only its requester and a head may. A worker that writes it stops at once."""

    async def work(connection: Connection, new_id: NewId) -> Committed:
        await handlers.cancel(connection, job_id, who, ask.cause(who), new_id)
        job = await jobs.read(connection, job_id)
        assert job is not None
        return Committed(job_object(job))

    answer = await perform(ctx, who, ask, {}, work)
    ctx.notifier.notify(notify.JOB, str(job_id))
    return answer
