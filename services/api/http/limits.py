"""How fast one user or source may ask, and how much is worked on at once."""

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from chassis.errors import Throttled

K = TypeVar("K", bound=Hashable)

# Keys whose bucket is full again are forgotten; this many can be in the middle of emptying theirs.
MAX_KEYS = 100_000


class Admission:
    """At most ``most`` requests of this process are worked on at the same time. More are turned away before anything
    is read of them: a queue without end answers no request in time, and fills the memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.in_hand = 0

    def enter(self) -> bool:
        """False when there are too many; else ``leave`` must follow."""
        if self.in_hand >= self._most:
            return False
        self.in_hand += 1
        return True

    def leave(self) -> None:
        self.in_hand -= 1


class RateLimits(Generic[K]):
    """A token bucket per key and process: ``burst`` requests at once, ``per_second`` in the long run.

    Kept as the moment at which the bucket is full again (the generic cell rate algorithm): one number each.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._each_s = 1 / per_second
        self._burst_s = burst / per_second
        self._full_at: OrderedDict[K, float] = OrderedDict()

    def take(self, key: K, *, now: float | None = None) -> None:
        """Raises ``Throttled`` when the bucket is empty; that takes nothing from it."""
        now = time.monotonic() if now is None else now
        if wait_s := self.wait_s(key, now=now):
            raise Throttled("Too many requests. Slow down a little.", retry_after_s=max(1, math.ceil(wait_s)))
        self._keep(key, max(now, self._full_at.get(key, 0.0)) + self._each_s, now)

    def wait_s(self, key: K, *, now: float | None = None) -> float:
        """Return the seconds until the bucket of ``key`` is not empty, 0 when it is not."""
        now = time.monotonic() if now is None else now
        return max(0.0, max(now, self._full_at.get(key, 0.0)) + self._each_s - now - self._burst_s)

    def is_full(self, key: K, *, now: float | None = None) -> bool:
        """Return whether nothing is missing from the bucket of ``key``."""
        return self._full_at.get(key, 0.0) <= (time.monotonic() if now is None else now)

    def count(self, key: K, *, now: float | None = None) -> None:
        """Take from the bucket of ``key`` what is in it, at most one; never raises."""
        now = time.monotonic() if now is None else now
        full_at = max(now, self._full_at.get(key, 0.0)) + self._each_s
        self._keep(key, min(full_at, now + self._burst_s), now)

    def _keep(self, key: K, full_at: float, now: float) -> None:
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Remove the keys that were silent longest, while their bucket is full or there are too many."""
        while self._full_at:
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= MAX_KEYS:
                break
            del self._full_at[key]
