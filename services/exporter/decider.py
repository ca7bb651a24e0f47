"""The result events of an export. Pure."""

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
class Made:
    """A complete file. ``erasures``: the number of erased people that its snapshot could see."""

    path: str
    rows: int
    size_bytes: int
    sha256: str
    snapshot: str
    erasures: int


def format_of(asked: ExportRequested | InvitationsRequested) -> ExportFormat:
    return ExportFormat.CSV if isinstance(asked, InvitationsRequested) else asked.format


def kind_of(asked: ExportRequested | InvitationsRequested) -> str:
    return INVITATIONS if isinstance(asked, InvitationsRequested) else asked.kind


def save_as(asked: ExportRequested | InvitationsRequested) -> str:
    """Return the file name for downloads."""
    if isinstance(asked, InvitationsRequested):
        return f"{INVITATIONS}.{ExportFormat.CSV}"
    of_drive = "" if asked.drive_id is None else f"-drive-{asked.drive_id}"
    return f"{asked.kind.replace('_', '-')}{of_drive}.{asked.format}"


def completed(export_id: UUID, made: Made, *, now: datetime, kept: timedelta) -> tuple[ExportCompleted, dict[str, Any]]:
    """Return the event, and the result of the job."""
    event = ExportCompleted(
        export_id=export_id,
        path=made.path,
        rows=made.rows,
        size_bytes=made.size_bytes,
        sha256=made.sha256,
        snapshot=made.snapshot,
        expires_at=now + kept,
    )
    result = event.model_dump(mode="json", exclude={"path"}) | {"file": f"/api/exports/{export_id}/file"}
    return event, result


def failed(export_id: UUID, reason: str) -> ExportFailed:
    return ExportFailed(export_id=export_id, reason=reason)
