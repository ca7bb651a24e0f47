"""How fast one user may ask."""

import math
import time
from collections import OrderedDict

from chassis.errors import Throttled

# Those whose bucket is full again are forgotten; this many can be in the middle of emptying theirs.
MAX_USERS = 100_000


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
