"""Request and response bodies of the dead letter routes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.jobs import Kind, Service, State
from services.api.http.fields import NO_NUL, NOT_BLANK, RequestBody
from services.api.http.openapi import PAGE_GONE, Count, Document, Instant, JobBrief, documented

Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Reason = Annotated[str, Field(max_length=1000, pattern=NO_NUL, examples=["the storage is back"])]


class RedriveRequest(RequestBody):
    reason: Reason | None = None


class RedriveAllRequest(RedriveRequest):
    """Without ``kind``, ``service`` or ``error_template``: jobs of every kind, service or error."""

    kind: Kind | None = None
    service: Service | None = None
    error_template: Annotated[str, Field(max_length=10_000, pattern=NO_NUL)] | None = None


class DiscardRequest(RequestBody):
    reason: Annotated[str, Field(max_length=1000, pattern=NOT_BLANK, examples=["the drive was a test"])]


class DeadLetter(Document):
    """A job that failed for good. ``reason``: its error, null once it is queued again."""

    id: Id
    service: str
    kind: str
    subject: str
    state: State
    dead_lettered: bool
    reason: str | None
    attempts: Count
    requested_by: int | None
    correlation_id: Id | None
    asked_at: Instant | None
    queued_at: Instant
    started_at: Instant | None
    ended_at: Instant | None


class DeadLetterGroup(Document):
    """Jobs of one service and kind that failed for one error. ``error_template``: the error without what differs."""

    service: Service
    kind: Kind
    error_template: str = Field(examples=["drive … was deleted"])
    newest_error: str | None = Field(examples=["drive 42 was deleted"])
    jobs: Count
    first_ended_at: Instant | None
    last_ended_at: Instant | None


class DeadLetterAndJob(DeadLetter):
    job: JobBrief


class Action(Document):
    """A redrive or a discard. ``job_error`` and ``attempts``: the job's error and attempts before the action.

    ``reason``: the reason that the actor gave.
    """

    action: Literal["redriven", "discarded"]
    actor: str = Field(examples=["user 17"])
    reason: str | None
    job_error: str
    attempts: int | None
    at: Instant


class OriginalEvent(Document):
    type: str
    stream: str
    version: int
    data: dict[str, Any]


class DeadLetterDetails(DeadLetter):
    event: OriginalEvent | None
    history: list[Action]


class Redriven(Document):
    """``left``: matching jobs that are still dead letters. Repeat the request to redrive them."""

    redriven: Count
    left: Count


DEAD_LETTER = {
    "id": "01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10",
    "service": "exporter",
    "kind": "export",
    "subject": "export-01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10",
    "state": "failed",
    "dead_lettered": True,
    "reason": "The storage refused the file. Tried 4 times.",
    "attempts": 1,
    "requested_by": 17,
    "correlation_id": "01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d11",
    "asked_at": "2026-11-24T02:39:19.365Z",
    "queued_at": "2026-11-24T02:39:19.365Z",
    "started_at": "2026-11-24T02:39:19.369Z",
    "ended_at": "2026-11-24T02:39:19.514Z",
}
ACTION = {
    "action": "redriven",
    "actor": "user 17",
    "reason": "the storage is back",
    "job_error": DEAD_LETTER["reason"],
    "attempts": 1,
    "at": "2026-11-24T03:00:00.000Z",
}
EVENT = {"type": "placewire.export.requested.v1", "stream": DEAD_LETTER["subject"], "version": 1, "data": {}}
NO_DEAD_LETTER = {404: "There is no such dead letter."}
NOT_DEAD = {409: "This job is not a dead letter (any more): it is succeeded, and was redriven by user 17."}

LIST = documented(list[DeadLetter], PAGE_GONE, description="Newest first.", example=[DEAD_LETTER])
GROUPS = documented(list[DeadLetterGroup], description="The largest groups first.")
SHOW = documented(
    DeadLetterDetails,
    NO_DEAD_LETTER,
    description="The job, its event and its history.",
    example=DEAD_LETTER | {"event": EVENT, "history": []},
)
REDRIVE = documented(DeadLetterAndJob, NO_DEAD_LETTER | NOT_DEAD, description="The job has ended.", job=True)
REDRIVE_ALL = documented(Redriven, description="The jobs are queued again.", example={"redriven": 12, "left": 0})
DISCARD = documented(
    DeadLetterDetails,
    NO_DEAD_LETTER | NOT_DEAD,
    description="The job is no longer listed.",
    example=DEAD_LETTER | {"event": EVENT, "history": [ACTION]},
)
