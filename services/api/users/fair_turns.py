"""A lock that many sources share fairly, so that a source with many requests does not delay the others."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.errors import Throttled

# At 20 ms each, the 256 requests of one source take about five seconds.
MAX_WAITING = 1024
MAX_WAITING_PER_SOURCE = 256


class FairTurns:
    """A lock that serves waiting sources in rotation, and the requests of each source in order."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._count = 0
        self._busy = False

    @asynccontextmanager
    async def turn(self, source: str) -> AsyncIterator[None]:
        """Hold the lock for ``source`` after waiting for its turn. Raises ``Throttled`` when too many requests wait."""
        if self._busy:
            await self._wait(source)
        self._busy = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, source: str) -> None:
        queue = self._waiting.setdefault(source, deque())
        if self._count >= MAX_WAITING or len(queue) >= MAX_WAITING_PER_SOURCE:
            raise Throttled("Too many people are signing in at this moment. Try again soon.", retry_after_s=5)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(granted)
        self._count += 1
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():  # the turn was granted at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            source, queue = self._waiting.popitem(last=False)
            if not queue:
                continue
            granted = queue.popleft()
            self._count -= 1
            if queue:
                self._waiting[source] = queue  # behind the other sources
            if not granted.done():
                granted.set_result(None)
                return
        self._busy = False
