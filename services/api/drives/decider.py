"""Decide commands on drives. Pure: the same history and command always give the same events, or the same error."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from typing import Any

from chassis.errors import Invalid, NotFound, RuleViolation
from contracts.drives import (
    AttendancePublished,
    Criteria,
    DriveCreated,
    DriveDeleted,
    DriveEvent,
    DrivePublished,
    DriveRevised,
    EligibilityRequested,
    Posting,
    RegistrationsStopped,
    Requested,
)
from contracts.message import Event


class Status(StrEnum):
    PENDING = "pending"
    POSTED = "posted"
    ATTENDING = "attending"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Drive:
    """The state that decisions need. ``list_version``: the version of the publication whose list applies, if any."""

    version: int = 0
    posting: Posting | None = None
    status: Status = Status.PENDING
    list_version: int | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class CreateDrive:
    drive_id: int
    posting: Posting
    posted_by: int
    auto_publish: bool = False


@dataclass(frozen=True, slots=True)
class ReviseDrive:
    """``changes``: fields of ``Posting`` (``criteria``: fields of ``Criteria``) with their new values."""

    drive_id: int
    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PublishDrive:
    """``requested``: the checksum of the list of students to select. ``None``: select every eligible student."""

    drive_id: int
    published_by: int
    requested: Requested | None = None


@dataclass(frozen=True, slots=True)
class RequestEligibility:
    drive_id: int


@dataclass(frozen=True, slots=True)
class StopRegistrations:
    drive_id: int


@dataclass(frozen=True, slots=True)
class PublishAttendance:
    """The numbers of students who registered, and who were marked PRESENT and ABSENT."""

    drive_id: int
    registered: int
    present: int
    absent: int


@dataclass(frozen=True, slots=True)
class DeleteDrive:
    """``registered``: the number of registered students."""

    drive_id: int
    registered: int = 0


Command = (
    CreateDrive | ReviseDrive | PublishDrive | RequestEligibility | StopRegistrations | PublishAttendance | DeleteDrive
)


def evolve(drive: Drive, event: Event) -> Drive:
    drive = replace(drive, version=drive.version + 1)
    match event:
        case DriveCreated() | DriveRevised():
            return replace(drive, posting=event.posting)
        case DrivePublished():
            return replace(
                drive, status=Status.POSTED, list_version=drive.version if event.requested is not None else None
            )
        case RegistrationsStopped():
            return replace(drive, status=Status.ATTENDING)
        case AttendancePublished():
            return replace(drive, status=Status.FINISHED)
        case DriveDeleted():
            return replace(drive, deleted=True)
        case _:
            return drive


def fold(events: Iterable[Event]) -> Drive:
    return reduce(evolve, events, Drive())


def decide(drive: Drive, command: Command) -> list[DriveEvent]:
    """Return the events of ``command``; ``[]`` when it changes nothing.

    Raises ``NotFound`` for an unknown drive, ``RuleViolation`` when its status does not allow the command, and
    ``Invalid`` for attendance that is already published, or that has no marks.
    """
    if isinstance(command, CreateDrive):
        return _create(command)
    if isinstance(command, DeleteDrive):
        return _delete(drive, command)
    if drive.posting is None or drive.deleted:
        raise NotFound("Drive not found")
    match command:
        case ReviseDrive():
            return _revise(drive, drive.posting, command)
        case PublishDrive():
            return _publish(drive, drive.posting.criteria, command)
        case RequestEligibility():
            _require(drive, "Eligibility can only be evaluated", Status.PENDING, Status.POSTED)
            return [_evaluation(drive, command.drive_id, drive.posting.criteria)]
        case StopRegistrations() | PublishAttendance():
            return _stop_or_finish(drive, command)


def _delete(drive: Drive, command: DeleteDrive) -> list[DriveEvent]:
    if drive.posting is None or drive.deleted:
        return []
    pdf_path = drive.posting.pdf_path
    return [DriveDeleted(drive_id=command.drive_id, pdf_path=pdf_path, registered=command.registered)]


def _create(command: CreateDrive) -> list[DriveEvent]:
    created = DriveCreated(drive_id=command.drive_id, posting=command.posting, posted_by=command.posted_by)
    if not command.auto_publish:
        return [created]
    published = DrivePublished(
        drive_id=command.drive_id,
        criteria=command.posting.criteria,
        published_by=command.posted_by,
        auto_published=True,
    )
    return [created, published]


def _revise(drive: Drive, posting: Posting, command: ReviseDrive) -> list[DriveEvent]:
    _require(drive, "A drive can only be revised", Status.PENDING, Status.POSTED)
    criteria = posting.criteria.model_copy(update=command.changes.get("criteria", {}))
    revised = posting.model_copy(update={**command.changes, "criteria": criteria})
    changed = [name for name in Posting.model_fields if getattr(posting, name) != getattr(revised, name)]
    if not changed:
        return []
    events: list[DriveEvent] = [DriveRevised(drive_id=command.drive_id, posting=revised, changed=changed)]
    if "criteria" in changed and drive.status is Status.POSTED:
        events.append(_evaluation(drive, command.drive_id, criteria))
    return events


def _publish(drive: Drive, criteria: Criteria, command: PublishDrive) -> list[DriveEvent]:
    _require(drive, "A drive can only be published", Status.PENDING, Status.POSTED)
    return [
        DrivePublished(
            drive_id=command.drive_id,
            criteria=criteria,
            published_by=command.published_by,
            requested=command.requested,
        )
    ]


def _stop_or_finish(drive: Drive, command: StopRegistrations | PublishAttendance) -> list[DriveEvent]:
    return _stop(drive, command) if isinstance(command, StopRegistrations) else _finish(drive, command)


def _stop(drive: Drive, command: StopRegistrations) -> list[DriveEvent]:
    if drive.status is Status.ATTENDING:
        return []
    _require(drive, "Registrations can only be stopped", Status.POSTED)
    return [RegistrationsStopped(drive_id=command.drive_id)]


def _finish(drive: Drive, command: PublishAttendance) -> list[DriveEvent]:
    if drive.status is Status.FINISHED:
        raise Invalid("Attendance already published", status=400)
    _require(drive, "Attendance can only be published", Status.ATTENDING)
    if not command.present + command.absent:
        raise Invalid("Mark attendance for at least one student before publishing.", status=400)
    return [
        AttendancePublished(
            drive_id=command.drive_id,
            registered=command.registered,
            present=command.present,
            absent=command.absent,
        )
    ]


def _evaluation(drive: Drive, drive_id: int, criteria: Criteria) -> EligibilityRequested:
    return EligibilityRequested(
        drive_id=drive_id,
        criteria=criteria,
        posted=drive.status is Status.POSTED,
        requested_version=drive.list_version,
    )


def _require(drive: Drive, rule: str, *allowed: Status) -> None:
    if drive.status not in allowed:
        raise RuleViolation(f"{rule} while the drive is {' or '.join(allowed)}; this drive is {drive.status}.")
