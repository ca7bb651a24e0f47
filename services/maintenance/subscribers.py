"""The events that wake the maintenance service."""

from typing import Any

from chassis.subscribers import JobId, Wake, of
from contracts.checks import CheckRequested
from contracts.jobs import Channel
from contracts.maintenance import RefreshRequested


async def refresh_requested(event: RefreshRequested, job_id: JobId, wake: Wake) -> None:
    """Wake the worker: the dashboards' views must be refreshed."""
    wake(job_id, Channel.KAFKA)


async def check_requested(event: CheckRequested, job_id: JobId, wake: Wake) -> None:
    """Wake the worker: somebody checks that events take effect."""
    wake(job_id, Channel.KAFKA)


def subscribe(subscriber: Any) -> None:
    """Add these handlers to the service's FastStream subscriber."""
    subscriber(refresh_requested, filter=of(RefreshRequested))
    subscriber(check_requested, filter=of(CheckRequested))
