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

# The client is gone: this status appears in metrics and logs only. nginx uses the same number.
CLIENT_CLOSED_REQUEST = 499


def limited(max_body_size: int) -> APIRouter:
    """Return the route with the limit from the settings."""
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

    At most 1,000 errors are listed, and 100 changes. A dry run writes nothing. 422 when the file cannot be used, and
    without ``dry_run`` when one of its rows is wrong: then with the same list. Ends when the client disconnects.
    """
    try:
        async with import_request(request, query) as asked, _while_connected(request):
            if asked.mode is ImportMode.UPSERT:  # the report shows what is on record of students in the file
                await accesses.of_many(caller, Reading.STUDENTS_IMPORTED)
            return await _imported(asked, ctx, command_context, caller, dry_run=dry_run)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _imported(
    asked: ImportRequest, ctx: ContextDep, command_context: CommandContextDep, caller: Principal, *, dry_run: bool
) -> Response:
    # The columns are reported before a connection is taken: a file that is slow to read holds no connection.
    async with (
        open_students(asked.file) as file,
        ctx.database.connection() as connection,
        import_handlers.staged(connection, file, asked.mode) as judged,
    ):
        if dry_run:
            return json_response(import_handlers.report(judged) | import_handlers.of_file(file))

        async def handle(transaction: Connection, new_id: NewId) -> CommandResult:
            done = await import_handlers.write_staged(transaction, file, judged, command_context.cause(caller), new_id)
            return CommandResult(done, people=tuple(change["student_id"] for change in judged.changes))

        def with_columns(kept: dict[str, Any]) -> dict[str, Any]:
            return kept | import_handlers.of_file(file)

        options = asked.file.options
        fingerprint = {
            "file": await import_handlers.digest_of(asked.file), "mapping": options.mapping,
            "header_row": options.header_row, "sheet": options.sheet, "mode": asked.mode,
        }  # fmt: skip
        return await execute_command(
            ctx, caller, command_context, fingerprint, handle, connection=connection, complete=with_columns
        )


@asynccontextmanager
async def _while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel the block and raise ``ClientDisconnect`` when the client disconnects. The body must have been read."""
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()
