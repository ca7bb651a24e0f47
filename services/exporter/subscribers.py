"""The events that wake the exporter."""

from typing import Any

from chassis.messaging.subscribers import WakeForRecord, of
from contracts.exports import ExportRequested, InvitationsRequested


def subscribe(subscriber: Any, wake: WakeForRecord) -> None:
    """Add a handler for each event that wakes this service to its FastStream subscriber."""

    async def export_requested(event: ExportRequested) -> None:
        """Wake the worker: a file was requested."""
        wake()

    async def invitations_requested(event: InvitationsRequested) -> None:
        """Wake the worker: a file of invitation links was requested."""
        wake()

    subscriber(export_requested, filter=of(ExportRequested))
    subscriber(invitations_requested, filter=of(InvitationsRequested))
