"""One answer that everyone polls, kept as bytes: read once, sent many times, dropped when it may have changed."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.api.conditional import Tagged, tagged
from services.api.links import HOUR_S

# A change that came without a notice is seen after so long.
RELOAD_S = 5.0


class Snapshot:
    """What ``read`` makes of the database. Requests that find nothing kept share one read.

    Keeps nothing until ``keep(True)``: while changes may go unnoticed, each answer is read after it was asked for.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read = read
        self._keeps = False
        self._changes = 0
        self._kept: Tagged | None = None
        self._kept_until = 0.0
        self._kept_in_hour = 0
        self._one_at_a_time = asyncio.Lock()
        self._waiting: asyncio.Task[Tagged] | None = None  # a read that has not begun: anyone may share it
        self._running: asyncio.Task[Tagged] | None = None  # one that has, and that no change has overtaken

    def keep(self, keeps: bool) -> None:
        """Is every change noticed from now on? Either way what was read before counts no more."""
        self._keeps = keeps
        self.drop()

    def drop(self) -> None:
        """Something changed: whoever asks from now on gets what was read from now on."""
        self._changes += 1
        self._kept = None
        self._running = None

    async def get(self) -> Tagged:
        """Raises what ``read`` raises, to everyone who shares that read."""
        if self._kept is not None and time.monotonic() < self._kept_until and _this_hour() == self._kept_in_hour:
            return self._kept
        task = self._running or self._waiting
        if task is None:
            task = self._waiting = asyncio.create_task(self._load())
            task.add_done_callback(_look_at_its_error)
        return await asyncio.shield(task)  # who goes away does not take the read from the others

    async def _load(self) -> Tagged:
        async with self._one_at_a_time:
            task, self._waiting = self._waiting, None
            self._running = task if self._keeps else None
            changes, hour, until = self._changes, _this_hour(), time.monotonic() + RELOAD_S
            try:
                answer = tagged(await self._read())
            finally:
                self._running = None
            # A change noticed meanwhile may not be in what was read: good enough for those who had asked before it.
            if self._keeps and changes == self._changes:
                self._kept, self._kept_until, self._kept_in_hour = answer, until, hour
            return answer


def _this_hour() -> int:
    """Signed links, and with them the bytes, change with the hour."""
    return int(time.time()) // HOUR_S


def _look_at_its_error(task: "asyncio.Task[Tagged]") -> None:
    if not task.cancelled():
        task.exception()
