"""Decide whether an export has expired. Pure: the time is an argument."""

from collections.abc import Iterable
from datetime import datetime

from contracts.exports import ExportCompleted, ExportExpired
from contracts.message import Event


def expired(events: Iterable[Event], *, before: datetime) -> ExportCompleted | None:
    """Return the export's last completion if its file could be downloaded until ``before`` at most.

    ``events``: the whole stream of the export. Returns ``None`` when there is no file, or it can be downloaded longer.
    """
    completed: ExportCompleted | None = None
    for event in events:
        if isinstance(event, ExportCompleted):
            completed = event
        elif isinstance(event, ExportExpired):
            completed = None
    return completed if completed is not None and completed.expires_at <= before else None
