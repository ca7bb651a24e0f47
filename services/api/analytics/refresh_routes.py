"""Refresh the dashboards' figures on request. Maintenance also refreshes them on schedule and when data changes."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from chassis.eventstore.event_store import NewId
from chassis.postgres.database import Connection
from contracts.jobs import Kind
from services.api.analytics import handlers, openapi, sql
from services.api.context import ContextDep
from services.api.http.access import AccessFirstRoute, Head
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.presentation import instant_text

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/analytics", tags=["analytics"])


@router.post("/refresh", **openapi.REFRESH)
async def refresh(ctx: ContextDep, command_context: CommandContextDep, caller: Head) -> Response:
    """Refresh the figures. 200 once they show everything committed before this request, 202 while the job runs."""

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        refresh_id = await handlers.request_refresh(connection, command_context.cause(caller), new_id)
        return CommandResult(await _refresh_object(connection, refresh_id), refresh_id, Kind.REFRESH)

    return await execute_command(ctx, caller, command_context, {}, handle, load_result=_refresh_object)


async def _refresh_object(connection: Connection, refresh_id: UUID) -> dict[str, Any]:
    return {"refresh_id": str(refresh_id), "as_of": instant_text(await sql.as_of(connection))}
