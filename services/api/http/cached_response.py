"""A cached response that many clients poll. It is stored as bytes and dropped when it may have changed."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.api.http.conditional import Tagged, tagged
from services.api.http.links import HOUR_S

# The response is read again after this time, in case a notification was lost.
RELOAD_S = 5.0


class CachedResponse:
    """Caches the result of ``read``. Requests without a cached response share one read.

    Caches nothing until ``keep(True)``: while notifications may be lost, every request reads the data.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read = read
        self._keeps = False
        self._changes = 0
        self._kept: Tagged | None = None
        self._kept_until = 0.0
        self._kept_in_hour = 0
        self._one_at_a_time = asyncio.Lock()
        self._waiting: asyncio.Task[Tagged] | None = None  # a read that has not begun: any request may share it
        self._running: asyncio.Task[Tagged] | None = None  # a read in progress, without a change since it began

    def keep(self, keeps: bool) -> None:
        """Set whether responses are cached: only while every change is notified. Drops the cached response."""
        self._keeps = keeps
        self.drop()

    def drop(self) -> None:
        """Drop the cached response. Later requests get data that is read after this call."""
        self._changes += 1
        self._kept = None
        self._running = None

    async def get(self) -> Tagged:
        """Return the response. Raises what ``read`` raises, in every request that shares the read."""
        if self._kept is not None and time.monotonic() < self._kept_until and _this_hour() == self._kept_in_hour:
            return self._kept
        task = self._running or self._waiting
        if task is None:
            task = self._waiting = asyncio.create_task(self._load())
            task.add_done_callback(_retrieve_exception)
        return await asyncio.shield(task)  # a cancelled request does not cancel the read of the others

    async def _load(self) -> Tagged:
        async with self._one_at_a_time:
            task, self._waiting = self._waiting, None
            self._running = task if self._keeps else None
            changes, hour, until = self._changes, _this_hour(), time.monotonic() + RELOAD_S
            try:
                answer = tagged(await self._read())
            finally:
                self._running = None
            # The response may lack a change notified meanwhile. It is still valid for requests from before that change.
            if self._keeps and changes == self._changes:
                self._kept, self._kept_until, self._kept_in_hour = answer, until, hour
            return answer


def _this_hour() -> int:
    """Return the current hour. Signed links, and so the responses, change every hour."""
    return int(time.time()) // HOUR_S


def _retrieve_exception(task: "asyncio.Task[Tagged]") -> None:
    if not task.cancelled():
        task.exception()
