"""Routes for job domains."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from chassis.eventstore.event_store import NewId
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from services.api.context import Context, ContextDep
from services.api.domains import handlers, openapi
from services.api.http.access import AccessFirstRoute, Anyone, Head
from services.api.http.commands import CommandContext, CommandContextDep, CommandHandler, CommandResult, execute_command
from services.api.http.conditional import conditional_response
from services.api.http.fields import NOT_BLANK, PathId, RequestBody

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/job-domains", tags=["job domains"])


class NamedDomain(RequestBody):
    model_config = ConfigDict(str_strip_whitespace=True)

    domain_name: str = Field(min_length=1, max_length=100, pattern=NOT_BLANK, examples=["Cloud Computing"])


@router.get("", **openapi.LIST)
async def list_domains(request: Request, ctx: ContextDep, _caller: Anyone) -> Response:
    """Return every job domain, by name."""
    return conditional_response(request, await ctx.lists.domains.get())


@router.post("", **openapi.ADD)
async def add_domain(body: NamedDomain, ctx: ContextDep, command_context: CommandContextDep, caller: Head) -> Response:
    """Add a job domain. 409 when the name is taken."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        return CommandResult(await handlers.add(connection, body.domain_name), status=201)

    return await _execute_and_drop_lists(ctx, caller, command_context, body, handle)


@router.patch("/{domain_id}", **openapi.RENAME)
async def rename_domain(
    domain_id: PathId, body: NamedDomain, ctx: ContextDep, command_context: CommandContextDep, caller: Head
) -> Response:
    """Rename a job domain. Its drives show the new name. 409 when the name is taken."""

    async def handle(connection: Connection, _new_id: NewId) -> CommandResult:
        return CommandResult(await handlers.rename(connection, domain_id, body.domain_name))

    return await _execute_and_drop_lists(ctx, caller, command_context, body, handle)


async def _execute_and_drop_lists(
    ctx: Context, caller: Principal, command_context: CommandContext, body: NamedDomain, handle: CommandHandler
) -> Response:
    try:
        return await execute_command(ctx, caller, command_context, body.model_dump(), handle)
    finally:
        ctx.lists.drop()
