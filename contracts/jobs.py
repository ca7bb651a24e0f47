"""Jobs: kinds, owners and states, and the HTTP endpoint that wakes a worker."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime

from contracts import topics
from contracts.checks import CheckRequested
from contracts.drives import DrivePublished, EligibilityRequested, ReevaluationRequested
from contracts.exports import ExportRequested, InvitationsRequested
from contracts.maintenance import RefreshRequested
from contracts.message import Message


class Kind(StrEnum):
    ELIGIBILITY = "eligibility"
    EXPORT = "export"
    REFRESH = "refresh"
    CHECK = "check"


class Service(StrEnum):
    """The services that own a job kind. The name is also the consumer group and the audience of its tokens."""

    ELIGIBILITY = "eligibility"
    EXPORTER = "exporter"
    MAINTENANCE = "maintenance"


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Channel(StrEnum):
    """What woke the worker for a job first: a Kafka record, an HTTP request, or the worker's own poll."""

    KAFKA = "kafka"
    HTTP = "http"
    POLL = "poll"


OWNER: dict[Kind, Service] = {
    Kind.ELIGIBILITY: Service.ELIGIBILITY,
    Kind.EXPORT: Service.EXPORTER,
    Kind.REFRESH: Service.MAINTENANCE,
    Kind.CHECK: Service.MAINTENANCE,
}

# Events that request a job, with the kind of the job. A job has the id of its event.
KIND_OF: dict[str, Kind] = {
    DrivePublished.TYPE: Kind.ELIGIBILITY,
    EligibilityRequested.TYPE: Kind.ELIGIBILITY,
    ReevaluationRequested.TYPE: Kind.ELIGIBILITY,
    ExportRequested.TYPE: Kind.EXPORT,
    InvitationsRequested.TYPE: Kind.EXPORT,
    RefreshRequested.TYPE: Kind.REFRESH,
    CheckRequested.TYPE: Kind.CHECK,
}

TOPIC_OF: dict[Kind, topics.Topic] = {
    Kind.ELIGIBILITY: topics.DRIVE,
    Kind.EXPORT: topics.EXPORT,
    Kind.REFRESH: topics.MAINTENANCE,
    Kind.CHECK: topics.MAINTENANCE,
}


class Job(Message):
    """A job as users see it. The form of ``progress`` and ``result`` depends on ``kind``."""

    id: UUID
    kind: Kind
    subject: str
    state: State
    channel: Channel | None = None
    progress: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    attempts: int
    dead_lettered: bool
    requested_by: int | None = None
    queued_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


# POST without a body wakes a worker of the owning service for the job. 202: the worker claims the job if it is queued.
# 503: the worker is paused and claims only one job a minute.
RUN_PATH = "/internal/jobs/{job_id}/run"
