"""Read the request of an import: a form with the file and its options, or the file's bytes alone."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, BinaryIO

from fastapi import Depends, Query, Request

from chassis.errors import Invalid
from services.api.http.form_parts import MULTIPART, Expected, form_parts
from services.api.http.strict_input import media_type
from services.api.students.import_checks import ImportMode
from services.api.students.import_files.rows import ReadOptions
from services.api.students.import_files.staged_file import UploadedFile
from services.api.students.openapi import OPTIONS

RAW_TYPES = (
    "text/csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.ms-excel",
)
FORM = Expected(texts=("mapping", "header_row", "sheet", "mode"), files=("file",))


@dataclass(frozen=True, slots=True)
class ImportRequest:
    file: UploadedFile
    mode: ImportMode


async def _query_options(
    mapping: Annotated[str | None, Query(description=OPTIONS["mapping"]["description"])] = None,
    header_row: Annotated[str | None, Query(description=OPTIONS["header_row"]["description"])] = None,
    sheet: Annotated[str | None, Query(description=OPTIONS["sheet"]["description"])] = None,
    mode: Annotated[str | None, Query(description=OPTIONS["mode"]["description"])] = None,
) -> dict[str, str]:
    options = {"mapping": mapping, "header_row": header_row, "sheet": sheet, "mode": mode}
    return {name: value for name, value in options.items() if value is not None}


QueryOptions = Annotated[dict[str, str], Depends(_query_options)]


@asynccontextmanager
async def import_request(request: Request, query: Mapping[str, str]) -> AsyncIterator[ImportRequest]:
    """Yield the request's file, on disk, and its options, which are form fields or ``query`` parameters.

    Raises ``Invalid`` for a missing file or an invalid option.
    """
    type_ = media_type(request)
    if type_ == MULTIPART:
        async with form_parts(request, FORM) as parts:
            if (upload := parts.files.get("file")) is None:
                raise Invalid("Send the file as the form field 'file'.")
            upload.file.rollover()  # type: ignore[attr-defined]
            fields = {name: values[0] for name, values in parts.texts.items()}
            yield _request(upload.file, upload.filename or "", _merged(fields, query))
    elif type_ in RAW_TYPES:
        with tempfile.TemporaryFile() as content:
            async for part in request.stream():
                await asyncio.to_thread(content.write, part)
            content.flush()
            yield _request(content, "", query)
    else:
        raise Invalid("Send the file as a form (multipart/form-data), or its bytes as text/csv.", status=415)


def _merged(fields: Mapping[str, str], query: Mapping[str, str]) -> dict[str, str]:
    """Return the options by name. Each option may be sent once, in the form or in the query."""
    if repeated := [name for name in fields if name in query]:
        raise Invalid(f"{repeated[0]} is sent twice. Send it once.")
    return {**query, **fields}


def _request(content: BinaryIO, name: str, fields: Mapping[str, str]) -> ImportRequest:
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
        mapping = json.loads(text, object_pairs_hook=_without_repeats)
    except ValueError as error:
        raise Invalid("mapping is not valid JSON.") from error
    if not isinstance(mapping, dict) or not all(isinstance(header, str | None) for header in mapping.values()):
        raise Invalid(
            'mapping must be a JSON object, like {"cgpa": "CPI"}, with null for a column that the file lacks.'
        )
    return mapping


def _without_repeats(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    mapping: dict[str, object] = {}
    for name, value in pairs:
        if name in mapping:
            raise Invalid(f"mapping names {name} twice. Name it once.")
        mapping[name] = value
    return mapping


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
