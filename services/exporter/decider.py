"""Compute the result events of an export. Pure functions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.exports import (
    INVITATIONS,
    ExportCompleted,
    ExportFailed,
    ExportFormat,
    ExportRequested,
    InvitationsRequested,
)


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A complete file. ``erasures``: how many erasures of people its snapshot could see."""

    path: str
    rows: int
    size_bytes: int
    sha256: str
    snapshot: str
    erasures: int


def format_of(request: ExportRequested | InvitationsRequested) -> ExportFormat:
    return ExportFormat.CSV if isinstance(request, InvitationsRequested) else request.format


def kind_of(request: ExportRequested | InvitationsRequested) -> str:
    return INVITATIONS if isinstance(request, InvitationsRequested) else request.kind


def save_as(request: ExportRequested | InvitationsRequested) -> str:
    """Return the file name for downloads."""
    if isinstance(request, InvitationsRequested):
        return f"{INVITATIONS}.{ExportFormat.CSV}"
    of_drive = "" if request.drive_id is None else f"-drive-{request.drive_id}"
    return f"{request.kind.replace('_', '-')}{of_drive}.{request.format}"


def completed(
    export_id: UUID, file: FinishedFile, *, now: datetime, kept: timedelta
) -> tuple[ExportCompleted, dict[str, Any]]:
    """Return the event of a finished export, and the result of its job."""
    event = ExportCompleted(
        export_id=export_id,
        path=file.path,
        rows=file.rows,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        snapshot=file.snapshot,
        expires_at=now + kept,
    )
    result = event.model_dump(mode="json", exclude={"path"}) | {"file": f"/api/exports/{export_id}/file"}
    return event, result


def failed(export_id: UUID, reason: str) -> ExportFailed:
    return ExportFailed(export_id=export_id, reason=reason)
