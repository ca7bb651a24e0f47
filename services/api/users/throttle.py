"""Limits on wrong passwords, by account and by source address, checked before a password is hashed."""

import asyncio
import hashlib
import math
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakValueDictionary

from chassis.errors import Throttled

WINDOW_S = 60.0
# Limits on stored keys. The least recently used are dropped first, so that invented addresses cannot fill the memory.
MAX_KEYS = 10_000
MAX_KNOWN = 100_000
# Requests of one source that run or wait at the same time: enough for a class that signs in together.
MAX_AT_ONCE = 200


class FailureWindow:
    """The failures of each key in the last ``WINDOW_S`` seconds. A key may have at most ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str, now: float) -> int:
        """Return the whole seconds until ``key`` may try again; 0 if it may try now."""
        failures = self._failures.get(key)
        while failures and now - failures[0] > WINDOW_S:
            failures.popleft()
        if not failures or len(failures) < self._limit:
            return 0
        return max(1, math.ceil(WINDOW_S - (now - failures[0])))

    def add(self, key: str, now: float) -> None:
        self._failures.setdefault(key, deque(maxlen=self._limit)).append(now)
        self._failures.move_to_end(key)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def clear(self, key: str) -> None:
        self._failures.pop(key, None)


class Throttle:
    """Counts the failures in one process. Replicas count separately, so N replicas allow N times as many failures.

    An account has one count for all unknown sources, so guesses from many addresses are limited too. A source from
    which the account has signed in before has its own count, so the guesses of others do not lock the user out.
    """

    def __init__(self, account_failures_per_minute: int, source_failures_per_minute: int) -> None:
        self._secret = secrets.token_bytes(32)
        self._accounts = FailureWindow(account_failures_per_minute)
        self._sources = FailureWindow(source_failures_per_minute)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._at_once: Counter[str] = Counter()

    def check_source(self, source: str, *, now: float | None = None) -> None:
        """Raise ``Throttled`` while ``source`` has failed too often."""
        if wait_s := self._sources.wait_s(source, time.monotonic() if now is None else now):
            raise Throttled(
                f"Too many failed attempts from your network. Try again in {wait_s} s.", retry_after_s=wait_s
            )

    def check_place(self, source: str) -> None:
        """Raise what ``place`` would raise."""
        self.check_source(source)
        if self._at_once[source] >= MAX_AT_ONCE:
            raise Throttled("Too many people are signing in from your network. Try again soon.", retry_after_s=5)

    @contextmanager
    def place(self, source: str) -> Iterator[None]:
        """Hold one of the ``MAX_AT_ONCE`` places of ``source`` while its request is checked.

        Raises ``Throttled`` when all places are taken, or ``source`` has failed too often.
        """
        self.check_place(source)
        self._at_once[source] += 1
        try:
            yield
        finally:
            self._at_once[source] -= 1
            if not self._at_once[source]:
                del self._at_once[source]

    @asynccontextmanager
    async def turn(self, account: str, source: str) -> AsyncIterator[None]:
        """Hold the account's lock, so that concurrent guesses are counted one by one."""
        key = self._key(account, source)
        lock = self._turns.get(key)
        if lock is None:
            lock = self._turns[key] = asyncio.Lock()
        async with lock:
            self.check(account, source)
            yield

    def check(self, account: str, source: str, *, now: float | None = None) -> None:
        """Raise ``Throttled`` if ``account`` or ``source`` has failed too often."""
        now = time.monotonic() if now is None else now
        self.check_source(source, now=now)
        if wait_s := self._accounts.wait_s(self._key(account, source), now):
            raise Throttled(f"Too many wrong passwords. Try again in {wait_s} s.", retry_after_s=wait_s)

    def failed(self, account: str | None, source: str, *, now: float | None = None) -> None:
        """Count a failure. ``account`` is ``None`` if the request names no account."""
        now = time.monotonic() if now is None else now
        self._sources.add(source, now)
        if account is not None:
            self._accounts.add(self._key(account, source), now)

    def succeeded(self, account: str, source: str) -> None:
        """Reset the account's failures and record ``source`` as known. The failures of the source remain."""
        self._accounts.clear(self._key(account, source))
        pair = self._pair(account, source)
        self._known[pair] = None
        self._known.move_to_end(pair)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _key(self, account: str, source: str) -> str:
        pair = self._pair(account, source)
        return pair if pair in self._known else self._digest(account)

    def _pair(self, account: str, source: str) -> str:
        return f"{source} {self._digest(account)}"

    def _digest(self, account: str) -> str:
        """Return a digest that stands for the account, so that no e-mail address stays in memory."""
        return hashlib.blake2b(account.encode(), key=self._secret, digest_size=16).hexdigest()
