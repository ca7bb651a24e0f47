"""Request and response bodies of the export routes."""

from typing import Annotated, Any, Literal

from fastapi.responses import StreamingResponse
from pydantic import Field, StrictBool

from contracts.exports import ExportFormat, ExportKind
from services.api.http.fields import BodyId, RequestBody
from services.api.http.openapi import PAGE_GONE, Document, Instant, JobBrief, documented

Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
ColumnName = Annotated[str, Field(min_length=1, max_length=100)]
Columns = Annotated[list[ColumnName], Field(min_length=1, max_length=100, json_schema_extra={"uniqueItems": True})]
Delimiter = Literal[",", ";", "\t", "|"]


class FileWanted(RequestBody):
    """``columns``: the columns of the file, in order. By default, the file has all columns of the kind.

    ``byte_order_mark`` and ``delimiter`` apply to CSV only.
    """

    format: ExportFormat = ExportFormat.CSV
    columns: Columns | None = Field(default=None, examples=[["roll_number", "name"]])
    byte_order_mark: StrictBool = False
    delimiter: Delimiter = ","


class NewExport(FileWanted):
    """``drive_id``: required, except for the kind ``finished_drives``, which covers all drives."""

    kind: ExportKind
    drive_id: BodyId | None = Field(default=None, examples=[42])


class Export(Document):
    """``sha256``: the digest of the file. ``snapshot``: the state of the log that it shows (``es.log_snapshot()``)."""

    export_id: Id
    kind: ExportKind | Literal["invitations"]
    format: ExportFormat
    drive_id: int | None
    columns: list[str]
    byte_order_mark: bool
    delimiter: str
    state: Literal["requested", "completed", "failed", "cancelled", "expired"]
    progress: dict[str, Any] | None = Field(examples=[{"rows": 250_000}])
    rows: int | None
    size_bytes: int | None
    sha256: str | None
    snapshot: str | None
    requested_by: int | None
    requested_at: Instant
    ended_at: Instant | None
    expires_at: Instant | None
    reason: str | None
    file_name: str
    file: str | None = Field(examples=["/api/exports/01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10/file"])


class ExportAndJob(Export):
    job: JobBrief | None = None


NO_EXPORT = {404: "There is no such export."}
NO_DRIVE = {404: "Drive not found"}
COLUMNS = {422: "Unknown columns: salary. attendance has: attendance_id, student_id, name."}

_HEADERS = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in {
        "Content-Disposition": "The file name for saving (RFC 6266).",
        "Repr-Digest": "SHA-256 of the whole file (RFC 9530).",
        "ETag": "Identifies exactly these bytes.",
    }.items()
}
_FILE = {"schema": {"type": "string", "format": "binary"}}
_CONTENT = {
    "text/csv": _FILE,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": _FILE,
}
_PART = {"Content-Range": {"description": "The range of bytes and the file size.", "schema": {"type": "string"}}}

CREATE = documented(ExportAndJob, {**NO_DRIVE, **COLUMNS}, description="The finished export.", job=True)
INVITE = documented(ExportAndJob, description="The finished export.", job=True)
LIST = documented(list[Export], PAGE_GONE, description="Exports, newest first.")
GET = documented(Export, NO_EXPORT, description="The current state of the export.")
FILE: dict[str, Any] = {
    "response_class": StreamingResponse,
    "response_description": "The file.",
    "responses": {
        200: {"content": _CONTENT, "headers": _HEADERS},
        206: {
            "description": "The requested part (Range).",
            "content": _CONTENT,
            "headers": _HEADERS | _PART,
        },
        304: {"description": "The client's copy is current (If-None-Match)."},
        307: {"description": "Redirects to the file in the bucket. The link is valid for five minutes."},
        **documented(
            None,
            {
                **NO_EXPORT,
                403: "Only the head of the cell who requested these links can download them.",
                409: "This export is not finished yet.",
                410: "This file has expired. Ask for a new one.",
                416: "The file has only 1234 bytes.",
            },
        )["responses"],
    },
}
