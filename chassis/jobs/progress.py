"""Publish the progress of a long job a few times a second."""

from collections.abc import Awaitable, Callable
from typing import Any

from chassis.jobs import queue
from chassis.jobs.queue import Claim
from chassis.postgres import notify
from chassis.postgres.database import Connection

# At most four writes a second. A worker also notices within this time that its job was cancelled.
EVERY_S = 0.25

Measure = Callable[[Connection], Awaitable[dict[str, Any] | None]]


class Progress:
    """The progress of one job, updated while its handler runs.

    The handler sets ``measure``, which runs on another connection. It returns ``None`` when the progress is unknown.
    """

    def __init__(self, notifier: notify.Notifier) -> None:
        self._notifier = notifier
        self._published: dict[str, Any] | None = None
        self.measure: Measure | None = None

    async def update(self, connection: Connection, claimed: Claim) -> bool:
        """Store the progress if it has changed. Return false when the worker no longer holds the job."""
        measured = await self.measure(connection) if self.measure else None
        if measured is None or measured == self._published:
            return await queue.is_held(connection, claimed)
        held = await queue.update_progress(connection, claimed, measured)
        self._published = measured
        self._notifier.notify(notify.JOB, str(claimed.id))
        return held
