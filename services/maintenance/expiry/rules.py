"""Whose time is up. Pure: the moment comes in."""

from collections.abc import Iterable
from datetime import datetime

from contracts.exports import ExportCompleted, ExportExpired
from contracts.message import Event


def expired(events: Iterable[Event], *, before: datetime) -> ExportCompleted | None:
    """Of an export's whole stream: the completion whose file was to be had until ``before`` or less.

    ``None`` when the export has no file (yet, any more, or at all), or one that is still to be had.
    """
    completed: ExportCompleted | None = None
    for event in events:
        if isinstance(event, ExportCompleted):
            completed = event
        elif isinstance(event, ExportExpired):
            completed = None
    return completed if completed is not None and completed.expires_at <= before else None
