"""How fast one user may ask, and how much is worked on at once."""

import math
import time
from collections import OrderedDict

from chassis.errors import Throttled

# Those whose bucket is full again are forgotten; this many can be in the middle of emptying theirs.
MAX_USERS = 100_000


class Admission:
    """At most ``most`` requests of this process are worked on at the same time. More are turned away before anything
    is read of them: whoever waits in a queue without end is served by nobody, and fills the memory."""

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


class UserLimits:
    """A token bucket per user and process: ``burst`` requests at once, ``per_second`` in the long run.

    Kept as the moment at which the user's bucket is full again (the generic cell rate algorithm): one number each.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._each_s = 1 / per_second
        self._burst_s = burst / per_second
        self._full_at: OrderedDict[int, float] = OrderedDict()

    def take(self, user_id: int, *, now: float | None = None) -> None:
        """Raises ``Throttled`` when the bucket is empty; that takes nothing from it."""
        now = time.monotonic() if now is None else now
        full_at = max(now, self._full_at.get(user_id, 0.0)) + self._each_s
        if (wait_s := full_at - now - self._burst_s) > 0:
            raise Throttled("Too many requests. Slow down a little.", retry_after_s=max(1, math.ceil(wait_s)))
        self._full_at[user_id] = full_at
        self._full_at.move_to_end(user_id)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """The longest silent, while he has nothing to remember or there are too many."""
        while self._full_at:
            user_id, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= MAX_USERS:
                break
            del self._full_at[user_id]
