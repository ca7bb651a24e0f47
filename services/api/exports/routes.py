"""Routes for exports."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from chassis.errors import NotFound
from chassis.eventstore.event_store import NewId
from chassis.http import problems
from chassis.http.responses import content_disposition, json_response
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.exports import MEDIA_TYPES, ExportFormat, ExportKind
from contracts.jobs import Kind
from contracts.users import ORGANIZERS
from services.api.context import Context, ContextDep
from services.api.exports import decider, handlers, openapi, sql
from services.api.exports.decider import RequestExport
from services.api.exports.file_answer import Span, Unsatisfiable, repr_digest, requested_span
from services.api.exports.openapi import FileWanted, NewExport
from services.api.exports.view import export_object, file_name
from services.api.http.access import AccessFirstRoute, CellMember
from services.api.http.commands import CommandContext, CommandContextDep, CommandResult, execute_command
from services.api.http.conditional import is_known
from services.api.http.fields import PathId
from services.api.personal_data.access_log import Accesses, AccessLog, Reading

router = APIRouter(route_class=AccessFirstRoute, tags=["exports"])

# Long enough to follow a redirect. A download that has begun continues after that.
LINK_LIFE = timedelta(minutes=5)


@router.post("/api/exports", **openapi.CREATE)
async def create_export(
    body: NewExport, ctx: ContextDep, command_context: CommandContextDep, caller: CellMember
) -> Response:
    """Request a file. 200 with the finished export, or 202 while it is being written."""
    return await _request(ctx, command_context, caller, body, body.kind, body.drive_id)


@router.post("/api/registrations/{drive_id}/export", **openapi.CREATE)
async def export_registrations(
    drive_id: PathId,
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: CellMember,
    body: Annotated[FileWanted | None, Body()] = None,
) -> Response:
    """Request a file of all students who are registered for the drive."""
    return await _request(ctx, command_context, caller, body or FileWanted(), ExportKind.REGISTRATIONS, drive_id)


@router.get("/api/exports", **openapi.LIST)
async def list_exports(
    ctx: ContextDep, caller: CellMember, before: UUID | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> Response:
    """List the caller's exports, newest first. HEAD and COORDINATOR see all. ``before``: the last id received."""
    requested_by = None if caller.role in ORGANIZERS else caller.user_id
    async with ctx.database.connection() as connection:
        rows = await sql.newest(connection, requested_by=requested_by, before=before, limit=limit)
    return json_response([export_object(row) for row in rows])


@router.get("/api/exports/{export_id}", **openapi.GET)
async def get_export(export_id: UUID, ctx: ContextDep, caller: CellMember) -> Response:
    """Return an export. 404 also for an export of another user."""
    return json_response(export_object(await _visible(ctx, export_id, caller)))


@router.get("/api/exports/{export_id}/file", **openapi.FILE)
async def get_file(
    export_id: UUID,
    request: Request,
    ctx: ContextDep,
    accesses: Accesses,
    caller: CellMember,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the file, or the part that ``Range`` names."""
    row = await _visible(ctx, export_id, caller)
    decider.require_reader(row["kind"], row["requested_by"], caller.user_id, caller.role)
    decider.require_download(row["state"], row["expires_at"], now=datetime.now(UTC))
    if (link := await ctx.storage.signed_link(row["path"], LINK_LIFE)) is not None:
        await _record_download(accesses, caller, row)
        return Response(status_code=307, headers={"Location": link, "Cache-Control": "no-store"})
    size, etag = row["size_bytes"], f'"{row["sha256"]}"'
    headers = {
        "Content-Disposition": content_disposition(file_name(row)),
        "Repr-Digest": repr_digest(row["sha256"]),
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }
    if is_known(etag, request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    try:
        span = requested_span(range_, if_range, size=size, etag=etag)
    except Unsatisfiable:
        return problems.problem(416, f"The file has only {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
    await _record_download(accesses, caller, row)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
    try:
        return await _streamed(ctx, row, span or Span(0, size), headers, 206 if span else 200)
    except NotFound as error:
        raise decider.gone() from error  # the file was deleted since the row was read, or by hand


async def _record_download(accesses: AccessLog, caller: Principal, row: asyncpg.Record) -> None:
    if row["kind"] != ExportKind.FINISHED_DRIVES:  # this kind has counts, and no personal data
        await accesses.of_many(caller, Reading.EXPORT_DOWNLOADED)


async def _streamed(
    ctx: Context, row: asyncpg.Record, span: Span, headers: dict[str, str], status: int
) -> StreamingResponse:
    chunks = await ctx.storage.stream(row["path"], span.start, span.end)
    headers = {**headers, "Content-Length": str(span.length)}
    return StreamingResponse(chunks, status, headers, MEDIA_TYPES[ExportFormat(row["format"])])


async def _request(
    ctx: Context,
    command_context: CommandContext,
    caller: Principal,
    wanted: FileWanted,
    kind: ExportKind,
    drive_id: int | None,
) -> Response:
    command = RequestExport(kind, wanted.format, drive_id, wanted.columns, wanted.byte_order_mark, wanted.delimiter)

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        export_id = await handlers.request(connection, command, caller, command_context.cause(caller), new_id)
        return CommandResult(await load_export(connection, export_id), export_id, Kind.EXPORT)

    return await execute_command(
        ctx, caller, command_context, wanted.model_dump(mode="json") | {"kind": kind}, handle, load_result=load_export
    )


async def load_export(connection: Connection, export_id: UUID) -> dict[str, Any]:
    row = await sql.get(connection, export_id)
    assert row is not None
    return export_object(row)


async def _visible(ctx: Context, export_id: UUID, caller: Principal) -> asyncpg.Record:
    async with ctx.database.connection() as connection:
        row = await sql.get(connection, export_id)
    if row is None or (caller.role not in ORGANIZERS and row["requested_by"] != caller.user_id):
        raise NotFound("There is no such export.")
    return row
