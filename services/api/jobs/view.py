"""The API's representation of a job."""

from typing import Any

from contracts.jobs import Job
from services.api.http.presentation import instant_text

TIMES = ("queued_at", "started_at", "finished_at")


def job_object(job: Job) -> dict[str, Any]:
    """Return ``job`` as JSON values."""
    return job.model_dump(mode="json") | {name: instant_text(getattr(job, name)) for name in TIMES}
