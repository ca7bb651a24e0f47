"""Who came. Producer: services/api."""

from enum import StrEnum

from contracts.message import Event


class Presence(StrEnum):
    PRESENT = "PRESENT"
    ABSENT = "ABSENT"


class AttendanceMarked(Event):
    """The mark as it stands afterwards; marking again replaces it."""

    TYPE = "placewire.registration.attendance-marked.v1"

    attendance_id: int
    drive_id: int
    student_id: int
    status: Presence
