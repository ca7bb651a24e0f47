"""Students who registered for a drive. Producer: services/api."""

from contracts.message import Event


class StudentRegistered(Event):
    TYPE = "placewire.registration.registered.v1"

    registration_id: int
    drive_id: int
    student_id: int
