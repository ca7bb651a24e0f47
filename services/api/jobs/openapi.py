"""Response bodies of the job routes."""

from contracts.jobs import Job
from services.api.http.openapi import PAGE_GONE, documented

JOB = {
    "id": "01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10",
    "kind": "eligibility",
    "subject": "drive-42",
    "state": "succeeded",
    "channel": "kafka",
    "progress": None,
    "result": {"drive_id": 42, "drive_version": 2, "eligible": 412, "selected": 412, "newly_selected": 412},
    "error": None,
    "attempts": 1,
    "dead_lettered": False,
    "requested_by": 17,
    "queued_at": "2026-11-24T02:39:19.365Z",
    "started_at": "2026-11-24T02:39:19.369Z",
    "finished_at": "2026-11-24T02:39:19.514Z",
}
NO_JOB = {404: "There is no such job."}

LIST = documented(list[Job], PAGE_GONE, description="Jobs, newest first.", example=[JOB])


class FollowableJob(Job):
    """A job with ``events_url``: a link with which a browser can follow it for ten minutes without a token."""

    events_url: str


FOLLOWABLE = JOB | {
    "events_url": "/api/jobs/01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10/events?user=17&role=STAFF&version=1"
    "&exp=1795489759&sig=5f0c9a3e3d0b4f5e9a530a6b1d6a7c115f0c9a3e3d0b4f5e9a530a6b1d6a7c11"
}
GET = documented(FollowableJob, NO_JOB, description="The current state of the job.", example=FOLLOWABLE)
CANCEL = documented(
    Job,
    {**NO_JOB, 403: "Only the user who requested it and heads can cancel a job.", 409: "This job has already ended."},
    description="The cancelled job.",
    example=JOB | {"state": "cancelled", "result": None},
)
FOLLOW = documented(
    {
        # The schema of one event. OpenAPI 3.2 has `itemSchema` for it. In 3.1 this is the usual convention.
        "schema": {
            "description": "One event of the stream.",
            "type": "object",
            "required": ["data"],
            "properties": {
                "event": {"const": "job"},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": "#/components/schemas/Job"},
                },
            },
        },
        "example": 'event: job\ndata: {"id":"01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10","state":"running"}\nid: 5f0c\n\n',
    },
    {
        **NO_JOB,
        403: "This link has expired. Request the job again to get a new one.",
        429: "You follow 10 jobs already. Close one of these streams first.",
    },
    description="Events named `job` with the job's state, and comments `: still here`. The stream ends with the job.",
    media_type="text/event-stream",
)
FOLLOW["responses"][204] = {
    "description": "The job has ended, and the client has received its last event (`Last-Event-ID`)."
}
