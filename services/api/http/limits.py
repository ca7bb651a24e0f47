"""Rate limits per user or source, and the limit on concurrent requests."""

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from chassis.errors import Throttled

K = TypeVar("K", bound=Hashable)

# The limit on buckets that are not full. Keys with a full bucket are forgotten.
MAX_KEYS = 100_000


class Admission:
    """Allows ``limit`` concurrent requests in this process. Further requests are refused before their body is read.

    An unlimited queue would fill the memory and answer no request in time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_hand = 0

    def enter(self) -> bool:
        """Return whether the request may proceed. If true, call ``leave`` when it ends."""
        if self.in_hand >= self._limit:
            return False
        self.in_hand += 1
        return True

    def leave(self) -> None:
        self.in_hand -= 1


class RateLimits(Generic[K]):
    """A token bucket per key and process: ``burst`` requests at once, ``per_second`` on average.

    A bucket is stored as the time at which it is full again (generic cell rate algorithm): one number per key.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._each_s = 1 / per_second
        self._burst_s = burst / per_second
        self._full_at: OrderedDict[K, float] = OrderedDict()

    def take(self, key: K, *, now: float | None = None) -> None:
        """Take one token. Raises ``Throttled`` if the bucket is empty."""
        now = time.monotonic() if now is None else now
        if wait_s := self.wait_s(key, now=now):
            raise Throttled("Too many requests. Slow down a little.", retry_after_s=max(1, math.ceil(wait_s)))
        self._keep(key, max(now, self._full_at.get(key, 0.0)) + self._each_s, now)

    def wait_s(self, key: K, *, now: float | None = None) -> float:
        """Return the seconds until the bucket of ``key`` has a token; 0 if it has one now."""
        now = time.monotonic() if now is None else now
        return max(0.0, max(now, self._full_at.get(key, 0.0)) + self._each_s - now - self._burst_s)

    def is_full(self, key: K, *, now: float | None = None) -> bool:
        """Return whether the bucket of ``key`` is full."""
        return self._full_at.get(key, 0.0) <= (time.monotonic() if now is None else now)

    def count(self, key: K, *, now: float | None = None) -> None:
        """Take one token from the bucket of ``key`` if it has one. Never raises."""
        now = time.monotonic() if now is None else now
        full_at = max(now, self._full_at.get(key, 0.0)) + self._each_s
        self._keep(key, min(full_at, now + self._burst_s), now)

    def _keep(self, key: K, full_at: float, now: float) -> None:
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Remove the least recently used keys, as long as their bucket is full or there are too many keys."""
        while self._full_at:
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= MAX_KEYS:
                break
            del self._full_at[key]
