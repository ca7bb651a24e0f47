"""Wait until another task or process has done something."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T]], *, within_s: float = 20) -> T:
    """Return the first truthy value of ``probe``. Fail with its last value after ``within_s`` seconds."""
    deadline = monotonic() + within_s
    while not (value := await probe()):
        assert monotonic() < deadline, f"still {value!r} after {within_s} s"
        await asyncio.sleep(0.05)
    return value
