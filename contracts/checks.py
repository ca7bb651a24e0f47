"""A job that does nothing: ``placewire doctor --queue`` uses it to check that jobs pass through the queue."""

from uuid import UUID

from contracts.message import Event


class CheckRequested(Event):
    """Requests a job that does nothing (job kind *check*). Producer: ``placewire doctor``."""

    TYPE = "placewire.check.requested.v1"

    check_id: UUID


class CheckAnswered(Event):
    """The job was run. Producer: services/maintenance."""

    TYPE = "placewire.check.answered.v1"

    check_id: UUID
    job_id: UUID


class CheckFailed(Event):
    TYPE = "placewire.check.failed.v1"

    check_id: UUID
    job_id: UUID
    reason: str
