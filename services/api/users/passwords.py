"""Password hashes (argon2id), computed in a separate thread. Each costs about 20 ms of one core."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from pydantic import SecretStr

from chassis.errors import Invalid
from services.api.users.fair_turns import FairTurns

T = TypeVar("T")

# Source: OWASP Password Storage Cheat Sheet, argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Checked when the user does not exist, so that the response takes as long as for an existing user.
_unknown_user_hash = _hasher.hash("nobody has this password")


@dataclass(frozen=True, slots=True)
class _Worker:
    """The hashing thread of one event loop. Bursts of sign-ins wait for this thread, so other work keeps a core."""

    turns: FairTurns = field(default_factory=FairTurns)
    thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="argon2")
    )


_workers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Worker] = WeakKeyDictionary()


def close() -> None:
    """End the thread of the running loop, after its current hash. The next hash starts a new thread."""
    worker = _workers.pop(asyncio.get_running_loop(), None)
    if worker is not None:
        worker.thread.shutdown()


def encoded(password: SecretStr) -> str:
    """Return the password's bytes in hexadecimal: JSON cannot hold text that is not valid Unicode."""
    return password.get_secret_value().encode(errors="surrogatepass").hex()


async def hash_password(password: str, source: str = "") -> str:
    """Return the hash of ``password``. ``source``: the source address of the request; sources take turns.

    Raises ``Throttled`` when too many requests wait, and ``Invalid`` for text that is not valid Unicode.
    """
    return await _in_thread(source, _do_nothing, _hash, password)


async def is_password(
    password: str, hashed: str | None, source: str = "", *, before: Callable[[], None] | None = None
) -> bool:
    """Return whether ``password`` matches ``hashed``. Without a hash it takes the same time and returns false.

    ``before`` is called when the turn of ``source`` comes. An exception of ``before`` ends the check.
    """
    matches = await _in_thread(source, before or _do_nothing, _verify, hashed or _unknown_user_hash, password)
    return matches and hashed is not None


def _do_nothing() -> None:
    return None


def _verify(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _hash(password: str) -> str:
    try:
        return _hasher.hash(password)
    except UnicodeEncodeError as error:
        raise Invalid("The password is not valid Unicode text.") from error


async def _in_thread(source: str, before: Callable[[], None], function: Callable[..., T], *arguments: str) -> T:
    loop = asyncio.get_running_loop()
    worker = _workers.get(loop)
    if worker is None:
        worker = _workers[loop] = _Worker()
    async with worker.turns.turn(source):
        before()
        return await loop.run_in_executor(worker.thread, function, *arguments)
