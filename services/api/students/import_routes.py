"""The route that imports a file of students."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from chassis.eventstore.event_store import NewId
from chassis.http.responses import json_response
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from services.api.context import ContextDep
from services.api.http.access import AccessFirstRoute, Head
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.personal_data.access_log import Accesses, Reading
from services.api.students import import_handlers, openapi
from services.api.students.import_checks import ImportMode
from services.api.students.import_files.staged_file import open_students
from services.api.students.import_form import ImportRequest, QueryOptions, import_request

router = APIRouter(route_class=AccessFirstRoute)

# The client has disconnected, so this status appears only in metrics and logs. nginx uses the same number.
CLIENT_CLOSED_REQUEST = 499


def limited(max_body_size: int) -> APIRouter:
    """Return the import route, with the limit on the body's size from the settings."""
    outer = APIRouter(prefix="/api/students", tags=["students"], max_body_size=max_body_size)
    outer.include_router(router)
    return outer


@router.post("/import", **openapi.IMPORT)
async def import_students(
    request: Request,
    ctx: ContextDep,
    command_context: CommandContextDep,
    accesses: Accesses,
    caller: Head,
    query: QueryOptions,
    dry_run: Annotated[bool, Query(description="check the file and write nothing; true by default")] = True,
) -> Response:
    """Enrol every student of a CSV, XLSX, XLS or ODS file, or none; ``mode=upsert`` also updates students on record.

    The response lists at most 1,000 errors and 100 changes. A dry run writes nothing, and is 200 if rows have errors.
    An import of such a file is 422 with the same list of errors. Both are 422 if the file as a whole cannot be used: it
    is unreadable, lacks a required column, or has a column with an unclear header or with values that do not fit it.
    The import ends when the client disconnects.
    """
    try:
        async with import_request(request, query) as upload, _while_connected(request):
            if upload.mode is ImportMode.UPSERT:  # the report shows records of the students in the file
                await accesses.of_many(caller, Reading.STUDENTS_IMPORTED)
            return await _import(upload, ctx, command_context, caller, dry_run=dry_run)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _import(
    upload: ImportRequest, ctx: ContextDep, command_context: CommandContextDep, caller: Principal, *, dry_run: bool
) -> Response:
    # The columns are found before a connection is taken, so that a file that takes long to read holds no connection.
    async with (
        open_students(upload.file) as file,
        ctx.database.connection() as connection,
        import_handlers.staged(connection, file, upload.mode) as validation,
    ):
        if dry_run:
            return json_response(import_handlers.report(validation) | import_handlers.of_file(file))

        async def handle(transaction: Connection, new_id: NewId) -> CommandResult:
            report = await import_handlers.write_staged(
                transaction, file, validation, command_context.cause(caller), new_id
            )
            return CommandResult(report, people=tuple(change["student_id"] for change in validation.changes))

        def with_columns(stored: dict[str, Any]) -> dict[str, Any]:
            return stored | import_handlers.of_file(file)

        options = upload.file.options
        fingerprint = {
            "file": await import_handlers.digest_of(upload.file), "mapping": options.mapping,
            "header_row": options.header_row, "sheet": options.sheet, "mode": upload.mode,
        }  # fmt: skip
        return await execute_command(
            ctx, caller, command_context, fingerprint, handle, connection=connection, complete=with_columns
        )


@asynccontextmanager
async def _while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel the block and raise ``ClientDisconnect`` when the client disconnects. The body must have been read."""
    task = asyncio.current_task()
    assert task is not None
    disconnected = False

    async def watch() -> None:
        nonlocal disconnected
        while (await request.receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if disconnected and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()
