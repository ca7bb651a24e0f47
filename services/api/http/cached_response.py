"""A cached response that many clients poll. It is stored as bytes and dropped when it may have changed."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.api.http.conditional import Tagged, tagged
from services.api.http.links import HOUR_S

# The response is read again after this time, in case a notification was lost.
RELOAD_S = 5.0


class CachedResponse:
    """Caches the result of ``read``. While there is no cached response, concurrent requests share one read.

    Nothing is cached before ``keep(True)``: while notifications may be lost, requests read the data.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read = read
        self._enabled = False
        self._changes = 0
        self._cached: Tagged | None = None
        self._cached_until = 0.0
        self._cached_in_hour = 0
        self._one_at_a_time = asyncio.Lock()
        self._waiting: asyncio.Task[Tagged] | None = None  # a read that has not begun; any request may share it
        self._running: asyncio.Task[Tagged] | None = None  # a read in progress; no change has arrived since it began

    def keep(self, enabled: bool) -> None:
        """Turn the cache on or off, and drop the cached response. It may be on only while every change is notified."""
        self._enabled = enabled
        self.drop()

    def drop(self) -> None:
        """Drop the cached response. Later requests get data that is read after this call."""
        self._changes += 1
        self._cached = None
        self._running = None

    async def get(self) -> Tagged:
        """Return the response. Raises what ``read`` raises, in every request that shares the read."""
        if self._cached is not None and time.monotonic() < self._cached_until and _this_hour() == self._cached_in_hour:
            return self._cached
        task = self._running or self._waiting
        if task is None:
            task = self._waiting = asyncio.create_task(self._load())
            task.add_done_callback(_retrieve_exception)
        return await asyncio.shield(task)  # a cancelled request must not cancel the read that others share

    async def _load(self) -> Tagged:
        async with self._one_at_a_time:
            task, self._waiting = self._waiting, None
            self._running = task if self._enabled else None
            changes, hour, until = self._changes, _this_hour(), time.monotonic() + RELOAD_S
            try:
                response = tagged(await self._read())
            finally:
                self._running = None
            # The response may lack a change that was notified during the read. Requests from before the change may
            # still get it, but it must not be cached.
            if self._enabled and changes == self._changes:
                self._cached, self._cached_until, self._cached_in_hour = response, until, hour
            return response


def _this_hour() -> int:
    """Return the current hour. Signed links, and so the responses, change every hour."""
    return int(time.time()) // HOUR_S


def _retrieve_exception(task: "asyncio.Task[Tagged]") -> None:
    if not task.cancelled():
        task.exception()
