"""Records that could not be read, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from chassis import undecodable
from chassis.database import Connection
from chassis.event_store import NewId
from chassis.identity import Principal
from chassis.responses import json_response
from contracts.jobs import Service
from contracts.users import Role
from services.api.access import AccessFirstRoute, allow
from services.api.commands import Ask, Committed, perform
from services.api.context import Ctx
from services.api.dead_letters import documents, sql
from services.api.dead_letters.view import by, whole_record

router = APIRouter(route_class=AccessFirstRoute, prefix="/undecodable")

MAX_ID = 2**63 - 1
RecordId = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("", **documents.RECORDS)
async def list_undecodable(
    ctx: Ctx,
    who: Annotated[Principal, allow(Role.HEAD)],
    service: Service | None = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Records that nobody has dealt with, newest first. ``before``: the last id of the page before."""
    return await ctx.long_lists.array(sql.UNDECODABLE, service, before, limit)


@router.get("/{record_id}", **documents.RECORD_SHOWN)
async def show_undecodable(record_id: RecordId, ctx: Ctx, who: Annotated[Principal, allow(Role.HEAD)]) -> Response:
    """As it came, and what was done about it."""
    async with ctx.database.connection() as connection:
        return json_response(whole_record(*await undecodable.show(connection, record_id)))


@router.post("/{record_id}/redrive", **documents.RECORD_REDRIVEN)
async def redrive_undecodable(
    record_id: RecordId,
    ctx: Ctx,
    ask: Ask,
    who: Annotated[Principal, allow(Role.HEAD)],
    body: documents.Again,
) -> Response:
    """Read it again, as this release can. 409 when that fails once more."""

    async def work(connection: Connection, _new_id: NewId) -> Committed:
        await undecodable.redrive(connection, record_id, by(who, body.reason))
        return Committed(whole_record(*await undecodable.show(connection, record_id)))

    return await perform(ctx, who, ask, body.model_dump(mode="json"), work)


@router.post("/{record_id}/discard", **documents.RECORD_DISCARDED)
async def discard_undecodable(
    record_id: RecordId,
    ctx: Ctx,
    ask: Ask,
    who: Annotated[Principal, allow(Role.HEAD)],
    body: documents.Dropped,
) -> Response:
    """Let it rest: it is kept, and listed no more."""

    async def work(connection: Connection, _new_id: NewId) -> Committed:
        await undecodable.discard(connection, record_id, by(who, body.reason))
        return Committed(whole_record(*await undecodable.show(connection, record_id)))

    return await perform(ctx, who, ask, body.model_dump(mode="json"), work)
