"""Decide whether an export has expired. Pure: the moment is an argument."""

from collections.abc import Iterable
from datetime import datetime

from contracts.exports import ExportCompleted, ExportExpired
from contracts.message import Event


def expired(events: Iterable[Event], *, before: datetime) -> ExportCompleted | None:
    """Return the completion, from an export's whole stream, whose file could be downloaded until ``before`` at most.

    ``None`` when the export has no file, or one that can still be downloaded.
    """
    completed: ExportCompleted | None = None
    for event in events:
        if isinstance(event, ExportCompleted):
            completed = event
        elif isinstance(event, ExportExpired):
            completed = None
    return completed if completed is not None and completed.expires_at <= before else None
