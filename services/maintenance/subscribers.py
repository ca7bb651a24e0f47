"""The events that wake the maintenance service."""

from typing import Any

from chassis.messaging.subscribers import WakeForRecord, of
from contracts.checks import CheckRequested
from contracts.maintenance import RefreshRequested


def subscribe(subscriber: Any, wake: WakeForRecord) -> None:
    """Add a handler for each event that wakes this service to its FastStream subscriber."""

    async def refresh_requested(event: RefreshRequested) -> None:
        """Wake the worker: the dashboards' views must be refreshed."""
        wake()

    async def check_requested(event: CheckRequested) -> None:
        """Wake the worker: a test job was requested."""
        wake()

    subscriber(refresh_requested, filter=of(RefreshRequested))
    subscriber(check_requested, filter=of(CheckRequested))
