"""Rules for requesting, cancelling and downloading exports. Pure."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.errors import Forbidden, Invalid, NotFound, RuleViolation
from contracts.exports import (
    COLUMNS,
    INVITATIONS,
    OF_ONE_DRIVE,
    ExportCancelled,
    ExportFormat,
    ExportKind,
    ExportRequested,
)
from contracts.jobs import Job, Kind
from contracts.users import ORGANIZERS, Role


@dataclass(frozen=True, slots=True)
class RequestExport:
    """A request for a file. ``columns``: ``None`` stands for all columns of the kind."""

    kind: ExportKind
    format: ExportFormat
    drive_id: int | None
    columns: list[str] | None
    byte_order_mark: bool
    delimiter: str


@dataclass(frozen=True, slots=True)
class Drive:
    """The requested drive. ``known`` is false if it does not exist or the caller may not see it."""

    known: bool


def request(export_id: UUID, command: RequestExport, drive: Drive) -> ExportRequested:
    """Return the event. Raises ``Invalid`` if columns or drive do not fit the kind, ``NotFound`` for no such drive."""
    known = COLUMNS[command.kind]
    columns = list(known) if command.columns is None else command.columns
    if unknown := [name for name in columns if name not in known]:
        raise Invalid(
            f"Unknown columns: {', '.join(unknown[:10])}. {command.kind} has: {', '.join(known)}.",
            errors=[{"field": "columns", "message": f"unknown column: {name}"} for name in unknown[:10]],
        )
    if not columns or len(set(columns)) < len(columns):
        raise Invalid("columns: name each column once, and at least one column.")
    needs_drive = command.kind in OF_ONE_DRIVE
    if needs_drive != (command.drive_id is not None):
        raise Invalid(f"drive_id {'is required' if needs_drive else 'has no meaning'} for {command.kind}.")
    if needs_drive and not drive.known:
        raise NotFound("Drive not found")
    return ExportRequested(
        export_id=export_id,
        kind=command.kind,
        format=command.format,
        drive_id=command.drive_id,
        columns=columns,
        byte_order_mark=command.byte_order_mark,
        delimiter=command.delimiter,
    )


def cancel(job: Job | None, export_id: UUID | None, user_id: int, role: Role) -> ExportCancelled:
    """Return the event that cancels the export. ``export_id``: ``None`` for a job of another kind.

    Raises ``NotFound`` for a job that this caller may not see, ``Forbidden`` for a job that they may not cancel, and
    ``RuleViolation`` for a job that has ended or is not an export.
    """
    if job is None or (role not in ORGANIZERS and job.requested_by != user_id):
        raise NotFound("There is no such job.")
    if role is not Role.HEAD and job.requested_by != user_id:
        raise Forbidden("Only the user who requested it and heads can cancel a job.")
    if job.kind != Kind.EXPORT or export_id is None:
        raise RuleViolation("Only exports can be cancelled.")
    if job.state.ended:
        raise RuleViolation(f"This job has already ended: {job.state}.")
    return ExportCancelled(export_id=export_id)


def require_download(state: str, expires_at: datetime | None, *, now: datetime) -> None:
    """Raise ``Invalid`` (410) for an expired file, ``RuleViolation`` for an export that has no file."""
    if state == "expired" or (expires_at is not None and expires_at <= now):
        raise gone()
    if state != "completed":
        raise RuleViolation(WITHOUT_FILE.get(state, "This export has no file."))


def require_reader(kind: str, requested_by: int | None, user_id: int, role: Role) -> None:
    """Raise ``Forbidden`` for a file of links (credentials), unless the caller is the head who requested it."""
    if kind == INVITATIONS and (role is not Role.HEAD or requested_by != user_id):
        raise Forbidden("Only the head of the cell who requested these links can download them.")


def gone() -> Invalid:
    """Return the error (410) for a file that has expired."""
    return Invalid("This file has expired. Ask for a new one.", status=410)


WITHOUT_FILE = {
    "requested": "This export is not finished yet.",
    "failed": "This export failed. There is no file.",
    "cancelled": "This export was cancelled. There is no file.",
}
