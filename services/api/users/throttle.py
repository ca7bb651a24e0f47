"""Slows down guessing: after too many wrong passwords an e-mail address must wait."""

import asyncio
import math
import time
from collections import OrderedDict, deque
from weakref import WeakValueDictionary

from chassis.errors import Throttled

WINDOW_S = 60.0
# Addresses remembered; the longest unseen are forgotten, so that a flood of made-up ones costs no memory.
MAX_ADDRESSES = 10_000


class Throttle:
    """Per process: several replicas together allow as many times more."""

    def __init__(self, failures_per_minute: int) -> None:
        self._most = failures_per_minute
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, address: str) -> asyncio.Lock:
        """Held while one password for ``address`` is checked: guesses that come together are counted one by one."""
        lock = self._turns.get(address)
        if lock is None:
            lock = self._turns[address] = asyncio.Lock()
        return lock

    def check(self, address: str, *, now: float | None = None) -> None:
        """Raises ``Throttled`` while ``address`` has failed too often."""
        now = time.monotonic() if now is None else now
        failures = self._failures.get(address)
        while failures and now - failures[0] > WINDOW_S:
            failures.popleft()
        if failures and len(failures) >= self._most:
            wait_s = max(1, math.ceil(WINDOW_S - (now - failures[0])))
            raise Throttled(f"Too many wrong passwords. Try again in {wait_s} s.", retry_after_s=wait_s)

    def failed(self, address: str, *, now: float | None = None) -> None:
        failures = self._failures.setdefault(address, deque(maxlen=self._most))
        failures.append(time.monotonic() if now is None else now)
        self._failures.move_to_end(address)
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        self._failures.pop(address, None)
