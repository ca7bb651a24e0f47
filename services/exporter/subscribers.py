"""The events that wake the exporter."""

from typing import Any

from chassis.subscribers import JobId, Wake, of
from contracts.exports import ExportRequested, InvitationsRequested
from contracts.jobs import Channel


async def export_requested(event: ExportRequested, job_id: JobId, wake: Wake) -> None:
    """Wake the worker: a file was asked for."""
    wake(job_id, Channel.KAFKA)


async def invitations_requested(event: InvitationsRequested, job_id: JobId, wake: Wake) -> None:
    """Wake the worker: a file of invitation links was asked for."""
    wake(job_id, Channel.KAFKA)


def subscribe(subscriber: Any) -> None:
    """Add these handlers to the service's FastStream subscriber."""
    subscriber(export_requested, filter=of(ExportRequested))
    subscriber(invitations_requested, filter=of(InvitationsRequested))
