"""How far a long job is: told to whoever follows it, a few times a second."""

from collections.abc import Awaitable, Callable
from typing import Any

from chassis import jobs, notify
from chassis.database import Connection
from chassis.jobs import Claim

# No more than four writes a second; and no later does a worker notice that its job was cancelled.
EVERY_S = 0.25

Measure = Callable[[Connection], Awaitable[dict[str, Any] | None]]


class Progress:
    """Whoever does the job sets ``measure``: asked on another connection than the work's; ``None``: nothing to tell."""

    def __init__(self, notifier: notify.Notifier) -> None:
        self._notifier = notifier
        self._told: dict[str, Any] | None = None
        self.measure: Measure | None = None

    async def tell(self, connection: Connection, claimed: Claim) -> bool:
        """Write down what has changed; false when the job is lost."""
        found = await self.measure(connection) if self.measure else None
        if found is None or found == self._told:
            return await jobs.is_held(connection, claimed)
        held = await jobs.tell(connection, claimed, found)
        self._told = found
        self._notifier.notify(notify.JOB, str(claimed.id))
        return held
