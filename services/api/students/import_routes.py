"""A file of students over HTTP."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from chassis.database import Connection
from chassis.errors import Invalid
from chassis.event_store import NewId
from chassis.identity import Principal
from chassis.responses import json_response
from contracts.users import Role
from services.api.access import AccessFirstRoute, allow
from services.api.commands import Ask, Committed, perform
from services.api.context import Ctx
from services.api.students import documents, import_handlers
from services.api.students.student_file import StudentFile

router = APIRouter(route_class=AccessFirstRoute)

IN_MEMORY_BYTES = 1024 * 1024
RAW_TYPES = ("text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")


def limited(max_body_size: int) -> APIRouter:
    """The route with the limit that the settings name."""
    outer = APIRouter(prefix="/api/students", tags=["students"], max_body_size=max_body_size)
    outer.include_router(router)
    return outer


@router.post("/import", **documents.IMPORT)
async def import_students(
    request: Request,
    ctx: Ctx,
    ask: Ask,
    who: Annotated[Principal, allow(Role.HEAD)],
    dry_run: Annotated[bool, Query(description="only say what is wrong; on unless turned off")] = True,
) -> Response:
    """Enrol every student of a CSV or XLSX file, or none.

    ``{import_id, dry_run, rows, valid, imported, error_count, errors: [{line, column, reason}]}``, at most 1,000
    errors listed. A dry run writes nothing. 422 when the file cannot be used, and without ``dry_run`` when one of its
    rows is wrong: then with the same list.
    """
    async with (
        _uploaded(request) as file,
        ctx.database.connection() as connection,
        import_handlers.staged(connection, file) as judged,
    ):
        if dry_run:
            return json_response(import_handlers.report(judged))

        async def work(transaction: Connection, new_id: NewId) -> Committed:
            return Committed(await import_handlers.enrol_staged(transaction, judged, ask.cause(who), new_id))

        asked = {"file": await import_handlers.digest_of(file), "mapping": file.mapping}
        return await perform(ctx, who, ask, asked, work, connection=connection)


@asynccontextmanager
async def _uploaded(request: Request) -> AsyncIterator[StudentFile]:
    """The file of the request, on disk once it is large. Raises ``Invalid`` when there is none."""
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type_ == "multipart/form-data":
        async with request.form(max_files=1, max_fields=1, max_part_size=IN_MEMORY_BYTES) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise Invalid("Send the file as the form field 'file'.")
            yield StudentFile(upload.file, upload.filename or "", _mapping(form.get("mapping")))
    elif type_ in RAW_TYPES:
        with tempfile.TemporaryFile() as content:
            async for part in request.stream():
                await asyncio.to_thread(content.write, part)
            yield StudentFile(content, "", {})
    else:
        raise Invalid("Send the file as a form (multipart/form-data), or its bytes as text/csv.", status=415)


def _mapping(text: object) -> dict[str, str]:
    if not text:
        return {}
    try:
        found = json.loads(str(text))
    except ValueError as error:
        raise Invalid("mapping is not valid JSON.") from error
    if not isinstance(found, dict) or not all(isinstance(header, str) for header in found.values()):
        raise Invalid('mapping must be a JSON object: {"our column": "their header"}.')
    return found
