"""Rules for marking attendance. Pure. Rules for publishing it: services/api/drives/decider.py."""

from dataclasses import dataclass

from chassis.errors import Invalid, NotFound, RuleViolation
from contracts.attendance import AttendanceMarked, Presence
from services.api.drives.decider import Status


@dataclass(frozen=True, slots=True)
class Sheet:
    """The current state of one student in one drive. ``drive``: the drive's status, or ``None`` for no such drive.

    ``known``: the student exists. ``attendance_id`` and ``mark``: the id and the value of the current mark.
    """

    drive: Status | None = None
    known: bool = False
    registered: bool = False
    attendance_id: int | None = None
    mark: Presence | None = None


@dataclass(frozen=True, slots=True)
class MarkAttendance:
    """``new_id``: the id of the mark if it is the student's first for this drive."""

    drive_id: int
    student_id: int
    status: Presence
    new_id: int


def decide(sheet: Sheet, command: MarkAttendance) -> list[AttendanceMarked]:
    """Return the mark, or ``[]`` when the same mark is already recorded.

    Raises ``NotFound`` for an unknown drive or student, ``Invalid`` once attendance is published, and
    ``RuleViolation`` for a drive whose registrations are not stopped, or a student who is not registered.
    """
    match sheet.drive:
        case None:
            raise NotFound("Drive not found")
        case Status.FINISHED:
            raise Invalid("Attendance already published", status=400)
        case Status.PENDING | Status.POSTED:
            raise RuleViolation(f"Attendance is marked once registrations are stopped; this drive is {sheet.drive}.")
    if not sheet.known:
        raise NotFound("Student not found")
    if not sheet.registered:
        raise RuleViolation("This student is not registered for the drive.")
    if sheet.mark is command.status:
        return []
    return [
        AttendanceMarked(
            attendance_id=sheet.attendance_id or command.new_id,
            drive_id=command.drive_id,
            student_id=command.student_id,
            status=command.status,
        )
    ]
