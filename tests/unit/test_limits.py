"""Rate limits allow bursts and a steady rate. Their memory per user is small."""

import pytest

from chassis.errors import Throttled
from services.api.http import limits
from services.api.http.limits import RateLimits


def allowed(limits: RateLimits[int], count: int, *, user_id: int = 1, now: float) -> int:
    accepted = 0
    for _ in range(count):
        try:
            limits.take(user_id, now=now)
        except Throttled:
            continue
        accepted += 1
    return accepted


def test_a_burst_and_then_the_steady_rate() -> None:
    limits = RateLimits[int](per_second=100, burst=400)
    assert allowed(limits, 1000, now=50.0) == 400
    assert allowed(limits, 1000, now=50.5) == 50
    assert allowed(limits, 1000, now=60.0) == 400


def test_retry_after_is_in_whole_seconds() -> None:
    limits = RateLimits[int](per_second=0.5, burst=1)
    limits.take(1, now=0.0)
    with pytest.raises(Throttled) as throttled:
        limits.take(1, now=0.5)
    assert throttled.value.retry_after_s == 2
    limits.take(1, now=2.0)


def test_the_limit_is_per_user() -> None:
    limits = RateLimits[int](per_second=1, burst=2)
    assert allowed(limits, 10, user_id=1, now=0.0) == 2
    assert allowed(limits, 2, user_id=2, now=0.0) == 2


def test_the_frontend_stays_below_the_limit() -> None:
    """Three tabs of a student with 20 open drives: 123 requests every 3 s, at once."""
    limits = RateLimits[int](per_second=100, burst=400)
    assert all(allowed(limits, 123, now=100.0 + 3 * turn) == 123 for turn in range(100))


def test_idle_users_are_forgotten_and_the_number_of_users_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    rate_limits = RateLimits[int](per_second=100, burst=400)
    for user_id in range(1000):
        rate_limits.take(user_id, now=0.0)
    rate_limits.take(1, now=10.0)
    assert len(rate_limits._full_at) == 1
    monkeypatch.setattr(limits, "MAX_KEYS", 100)
    for user_id in range(1000):
        rate_limits.take(user_id, now=20.0)
    assert len(rate_limits._full_at) == 100
