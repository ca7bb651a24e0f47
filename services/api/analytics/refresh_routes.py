"""Refreshing the dashboards' figures now, over HTTP. Maintenance refreshes them on schedule, and when data changes."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from chassis.eventstore.event_store import NewId
from chassis.postgres.database import Connection
from contracts.jobs import Kind
from services.api.analytics import handlers, openapi, sql
from services.api.context import Ctx
from services.api.http.access import AccessFirstRoute, Head
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.presentation import instant_text

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/analytics", tags=["analytics"])


@router.post("/refresh", **openapi.REFRESH)
async def refresh(ctx: Ctx, command_context: CommandContextDep, who: Head) -> Response:
    """200 when the figures show what had been committed before this was asked, 202 while that is on its way."""

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        refresh_id = await handlers.request_refresh(connection, command_context.cause(who), new_id)
        return CommandResult(await _shown(connection, refresh_id), refresh_id, Kind.REFRESH)

    return await execute_command(ctx, who, command_context, {}, handle, load_result=_shown)


async def _shown(connection: Connection, refresh_id: UUID) -> dict[str, Any]:
    return {"refresh_id": str(refresh_id), "as_of": instant_text(await sql.as_of(connection))}
