"""Invitations: a file with a password link for each student without a password."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, StrictBool

from chassis.eventstore.event_store import NewId
from chassis.postgres.database import Connection
from contracts.exports import InvitationsRequested
from contracts.jobs import Kind
from services.api.context import ContextDep
from services.api.exports import handlers, openapi
from services.api.exports.openapi import Delimiter
from services.api.exports.routes import load_export
from services.api.http.access import AccessFirstRoute, Head
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.fields import NOT_BLANK, BatchYear, BodyId, RequestBody
from services.api.users.links import base_of

router = APIRouter(route_class=AccessFirstRoute, tags=["students"])

Branch = Annotated[str, Field(min_length=1, max_length=100, pattern=NOT_BLANK)]
# The event holds the filter, and must stay under 256 KiB.
Branches = Annotated[list[Branch], Field(min_length=1, max_length=200)]
BatchYears = Annotated[list[BatchYear], Field(min_length=1, max_length=100)]
StudentIds = Annotated[list[BodyId], Field(min_length=1, max_length=10_000)]


class InvitedStudents(RequestBody):
    """The students who get a link: those without a password who meet every condition. By default, all of them."""

    model_config = ConfigDict(str_strip_whitespace=True)

    branches: Branches | None = Field(default=None, examples=[["CSE", "ECE"]])
    batch_years: BatchYears | None = Field(default=None, examples=[[2027]])
    student_ids: StudentIds | None = None
    byte_order_mark: StrictBool = False
    delimiter: Delimiter = ","


@router.post("/api/students/invitations", **openapi.INVITE)
async def invite_students(
    request: Request,
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: Head,
    body: Annotated[InvitedStudents | None, Body()] = None,
) -> Response:
    """Create a CSV file with a link for each active student without a password. A link works once, for seven days.

    Only the head who requested this export can download it. A new link of a student replaces the previous one. 200 with
    the finished export, or 202 while it is being written.
    """
    options = (body or InvitedStudents()).model_dump(mode="json")
    base = base_of(request, ctx.settings.public_url)

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        requested = InvitationsRequested(export_id=new_id(0), link_base=base, **options)
        await handlers.request_invitations(connection, requested, command_context.cause(caller))
        return CommandResult(await load_export(connection, requested.export_id), requested.export_id, Kind.EXPORT)

    return await execute_command(ctx, caller, command_context, options, handle, load_result=load_export)
