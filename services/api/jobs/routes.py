"""Jobs over HTTP, one at a time as they move (server-sent events), or as a list."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from chassis import jobs, notify
from chassis.database import Connection
from chassis.errors import NotFound
from chassis.event_store import NewId
from chassis.identity import Principal
from chassis.jobs import job_of
from chassis.responses import json_response
from contracts.jobs import Job, State
from contracts.users import Role
from services.api.access import ANYONE, AccessFirstRoute, allow
from services.api.commands import Ask, Committed, perform
from services.api.context import Context, Ctx
from services.api.exports import handlers
from services.api.jobs import documents, sql
from services.api.presentation import instant_text

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/jobs", tags=["jobs"])

SEES_ALL = {Role.HEAD, Role.COORDINATOR}
# So that proxies between do not take silence for death.
KEEP_ALIVE_S = 15.0


def job_object(job: Job) -> dict[str, Any]:
    times = ("queued_at", "received_at", "started_at", "finished_at")
    return job.model_dump(mode="json") | {name: instant_text(getattr(job, name)) for name in times}


@router.get("", **documents.LIST)
async def list_jobs(
    ctx: Ctx,
    who: Annotated[Principal, allow(*ANYONE)],
    state: State | None = None,
    before: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Newest first; one's own, for HEAD and COORDINATOR everyone's. ``before``: the last id of the page before."""
    asked_by = None if who.role in SEES_ALL else who.user_id
    async with ctx.database.connection() as connection:
        rows = await sql.newest(connection, asked_by=asked_by, state=state, before=before, most=limit)
    return json_response([job_object(job_of(row)) for row in rows])


@router.get("/{job_id}", **documents.GET)
async def get_job(job_id: UUID, ctx: Ctx, who: Annotated[Principal, allow(*ANYONE)]) -> Response:
    """404 also for a job that somebody else asked for."""
    return json_response(job_object(_visible(await ctx.jobs.read(job_id), who)))


@router.get("/{job_id}/events", response_class=StreamingResponse, **documents.FOLLOW)
async def follow_job(
    job_id: UUID, request: Request, ctx: Ctx, who: Annotated[Principal, allow(*ANYONE)]
) -> StreamingResponse:
    """The job each time it changes, as server-sent events named ``job``; the stream closes when it has ended."""
    job = _visible(await ctx.jobs.read(job_id), who)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stopping: asyncio.Event = request.app.state.stopping
    return StreamingResponse(_changes(ctx, job, stopping), media_type="text/event-stream", headers=headers)


@router.post("/{job_id}/cancel", **documents.CANCEL)
async def cancel_job(
    job_id: UUID,
    ctx: Ctx,
    ask: Ask,
    who: Annotated[Principal, allow(Role.STAFF, Role.COORDINATOR, Role.HEAD)],
) -> Response:
    """End an export that nobody wants any more: its requester, or a head. A worker that writes it stops at once."""

    async def work(connection: Connection, new_id: NewId) -> Committed:
        await handlers.cancel(connection, job_id, who, ask.cause(who), new_id)
        job = await jobs.read(connection, job_id)
        assert job is not None
        return Committed(job_object(job))

    answer = await perform(ctx, who, ask, {}, work)
    ctx.notifier.notify(notify.JOB, str(job_id))
    return answer


async def _changes(ctx: Context, job: Job, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    yield _sse(job)
    while not job.state.ended and not stopping.is_set():
        latest = await _next(ctx, job, stopping)
        if latest is None:
            return
        yield _sse(latest) if latest != job else b": still here\n\n"
        job = latest


async def _next(ctx: Context, job: Job, stopping: asyncio.Event) -> Job | None:
    """The job once it moved, or unchanged after the keep-alive time; ``None`` when the process stops."""
    moving = asyncio.create_task(ctx.jobs.after(job.id, job, within_s=KEEP_ALIVE_S))
    ending = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({moving, ending}, return_when=asyncio.FIRST_COMPLETED)
        return moving.result() if moving.done() else None
    finally:
        moving.cancel()
        ending.cancel()


def _sse(job: Job) -> bytes:
    return b"event: job\ndata: " + orjson.dumps(job_object(job)) + b"\n\n"


def _visible(job: Job | None, who: Principal) -> Job:
    if job is None or (who.role not in SEES_ALL and job.asked_by != who.user_id):
        raise NotFound("There is no such job.")
    return job
