"""The events that wake the eligibility service."""

from typing import Any

from chassis.messaging.subscribers import WakeForRecord, of
from contracts.drives import DrivePublished, EligibilityRequested, ReevaluationRequested


def subscribe(subscriber: Any, wake: WakeForRecord) -> None:
    """Add a handler for each event that wakes this service to its FastStream subscriber."""

    async def drive_published(event: DrivePublished) -> None:
        """Wake the worker: a drive was published, and its students must be selected."""
        wake()

    async def eligibility_requested(event: EligibilityRequested) -> None:
        """Wake the worker: an evaluation of a drive was requested."""
        wake()

    async def reevaluation_requested(event: ReevaluationRequested) -> None:
        """Wake the worker: marks changed, and some students of a drive must be evaluated again."""
        wake()

    subscriber(drive_published, filter=of(DrivePublished))
    subscriber(eligibility_requested, filter=of(EligibilityRequested))
    subscriber(reevaluation_requested, filter=of(ReevaluationRequested))
