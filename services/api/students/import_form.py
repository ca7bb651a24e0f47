"""The request of an import: a form with the file and what the caller says about it, or the file's bytes alone."""

import json
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from chassis.errors import Invalid
from services.api.students.import_checks import ImportMode
from services.api.students.import_files.rows import ReadOptions
from services.api.students.import_files.staged_file import UploadedFile

IN_MEMORY_BYTES = 1024 * 1024
RAW_TYPES = (
    "text/csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.ms-excel",
)
FIELDS = ("mapping", "header_row", "sheet", "mode")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    file: UploadedFile
    mode: ImportMode


@asynccontextmanager
async def import_request(request: Request) -> AsyncIterator[ImportRequest]:
    """Return the file of the request, on disk, and its options: form fields, or query parameters for a raw body.

    Raises ``Invalid`` when there is no file, or an option makes no sense.
    """
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type_ == "multipart/form-data":
        async with request.form(max_files=1, max_fields=len(FIELDS), max_part_size=IN_MEMORY_BYTES) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise Invalid("Send the file as the form field 'file'.")
            upload.file.rollover()  # type: ignore[attr-defined]
            yield _request(upload.file, upload.filename or "", _fields(request, form))
    elif type_ in RAW_TYPES:
        with tempfile.TemporaryFile() as content:
            async for part in request.stream():
                content.write(part)
            content.flush()
            yield _request(content, "", _fields(request, FormData()))
    else:
        raise Invalid("Send the file as a form (multipart/form-data), or its bytes as text/csv.", status=415)


def _fields(request: Request, form: FormData) -> dict[str, str]:
    """Return the options by name. Each may be sent once, in the form or in the query."""
    sent = [(name, value) for name, value in form.multi_items() if name != "file"]
    sent += [(name, value) for name, value in request.query_params.multi_items() if name in FIELDS]
    found: dict[str, str] = {}
    for name, value in sent:
        if name not in FIELDS:
            raise Invalid(f"There is no form field {name!r}. The fields are: file, {', '.join(FIELDS)}.")
        if not isinstance(value, str):
            raise Invalid(f"{name} must be a text field of the form, not a file.")
        if name in found:
            raise Invalid(f"{name} is sent twice. Send it once.")
        found[name] = value
    return found


def _request(content: BinaryIO, name: str, fields: dict[str, str]) -> ImportRequest:
    mode = _mode(fields.get("mode"))
    options = ReadOptions(
        _mapping(fields.get("mapping")),
        _header_row(fields.get("header_row")),
        fields.get("sheet"),
        updates=mode is ImportMode.UPSERT,
    )
    if options.sheet is not None and not options.sheet.strip():
        raise Invalid("sheet must be the name of a sheet. Leave it out to read the visible ones.")
    return ImportRequest(UploadedFile(content, name, options), mode)


def _mapping(text: str | None) -> dict[str, str | None]:
    if not text:
        return {}
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats)
    except ValueError as error:
        raise Invalid("mapping is not valid JSON.") from error
    if not isinstance(found, dict) or not all(isinstance(header, str | None) for header in found.values()):
        raise Invalid(
            'mapping must be a JSON object: {"our column": "their header"}, or null for a column that the file lacks.'
        )
    return found


def _without_repeats(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise Invalid(f"mapping names {name} twice. Name it once.")
        found[name] = value
    return found


def _header_row(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:10]) >= 1 and len(text) <= 10):
        raise Invalid("header_row must be the number of a line, from 1.")
    return int(text)


def _mode(text: str | None) -> ImportMode:
    try:
        return ImportMode(text or ImportMode.INSERT)
    except ValueError as error:
        raise Invalid("mode must be insert or upsert.") from error
