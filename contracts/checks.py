"""A job that does nothing, so that whoever asks for it knows that jobs get through (``placewire doctor --queue``)."""

from uuid import UUID

from contracts.message import Event


class CheckRequested(Event):
    """Somebody wants to see a job go all the way (job kind *check*). Producer: ``placewire doctor``."""

    TYPE = "placewire.check.requested.v1"

    check_id: UUID


class CheckAnswered(Event):
    """It got through. Producer: services/maintenance."""

    TYPE = "placewire.check.answered.v1"

    check_id: UUID
    job_id: UUID


class CheckFailed(Event):
    TYPE = "placewire.check.failed.v1"

    check_id: UUID
    job_id: UUID
    reason: str
