"""The events that wake the eligibility service."""

from typing import Any

from chassis.subscribers import JobId, Wake, of
from contracts.drives import DrivePublished, EligibilityRequested, ReevaluationRequested
from contracts.jobs import Channel


async def drive_published(event: DrivePublished, job_id: JobId, wake: Wake) -> None:
    """Wake the worker: a drive was published, its students must be selected."""
    wake(job_id, Channel.KAFKA)


async def eligibility_requested(event: EligibilityRequested, job_id: JobId, wake: Wake) -> None:
    """Wake the worker: a coordinator asked to evaluate a drive."""
    wake(job_id, Channel.KAFKA)


async def reevaluation_requested(event: ReevaluationRequested, job_id: JobId, wake: Wake) -> None:
    """Wake the worker: marks changed, some students of a drive must be judged again."""
    wake(job_id, Channel.KAFKA)


def subscribe(subscriber: Any) -> None:
    """Add these handlers to the service's FastStream subscriber."""
    subscriber(drive_published, filter=of(DrivePublished))
    subscriber(eligibility_requested, filter=of(EligibilityRequested))
    subscriber(reevaluation_requested, filter=of(ReevaluationRequested))
