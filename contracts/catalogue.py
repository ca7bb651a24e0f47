"""Every event type with its class, and the conversion of old types."""

from collections.abc import Callable, Mapping
from typing import Any

from contracts import attendance, checks, drives, eligibility, exports, maintenance, registrations, students, users
from contracts.message import Event

EVENTS: dict[str, type[Event]] = {
    cls.TYPE: cls
    for cls in (
        students.StudentEnrolled,
        students.StudentRecordRevised,
        students.StudentsImported,
        users.UserCreated,
        users.UserDetailsRevised,
        users.PasswordChanged,
        users.RoleChanged,
        users.AccountDeactivated,
        users.AccountReactivated,
        users.PersonErased,
        drives.DriveCreated,
        drives.DriveRevised,
        drives.DrivePublished,
        drives.EligibilityRequested,
        drives.ReevaluationRequested,
        drives.RegistrationsStopped,
        drives.AttendancePublished,
        drives.DriveDeleted,
        eligibility.EligibilityEvaluated,
        eligibility.EligibilityFailed,
        registrations.StudentRegistered,
        attendance.AttendanceMarked,
        exports.ExportRequested,
        exports.InvitationsRequested,
        exports.ExportCompleted,
        exports.ExportFailed,
        exports.ExportCancelled,
        exports.ExportExpired,
        maintenance.RefreshRequested,
        maintenance.ViewsRefreshed,
        maintenance.RefreshFailed,
        checks.CheckRequested,
        checks.CheckAnswered,
        checks.CheckFailed,
    )
}

Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]

# From an old type: convert its data to the next version, and return that version's type and data. Stored events do not
# change; they are converted when they are read.
UPCASTERS: dict[str, Upcaster] = {}


class UnknownEvent(LookupError):
    """This release does not know the event type: a newer release, or another system, produced the event."""


def read_event(type_: str, data: Mapping[str, Any], upcasters: Mapping[str, Upcaster] = UPCASTERS) -> Event:
    """Return the event of ``type_``, converted to its newest version.

    Raises ``UnknownEvent``, or ``pydantic.ValidationError`` when ``data`` does not fit.
    """
    fields = dict(data)
    while (upcast := upcasters.get(type_)) is not None:
        type_, fields = upcast(fields)
    if (cls := EVENTS.get(type_)) is None:
        raise UnknownEvent(type_)
    return cls.model_validate(fields)
