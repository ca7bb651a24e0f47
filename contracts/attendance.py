"""Attendance of students at drives. Producer: services/api."""

from enum import StrEnum

from contracts.message import Event


class Presence(StrEnum):
    PRESENT = "PRESENT"
    ABSENT = "ABSENT"


class AttendanceMarked(Event):
    """A student was marked present or absent. A later mark replaces this one."""

    TYPE = "placewire.registration.attendance-marked.v1"

    attendance_id: int
    drive_id: int
    student_id: int
    status: Presence
