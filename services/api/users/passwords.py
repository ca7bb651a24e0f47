"""Password hashes (argon2id), made and checked in threads of their own: each costs tens of milliseconds of one core."""

import asyncio
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from pydantic import SecretStr

from chassis.errors import Invalid, Throttled

T = TypeVar("T")

# Source: OWASP Password Storage Cheat Sheet, argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# A wave of sign-ins waits here, and leaves a core to everything else.
_threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="argon2")
# More would wait longer than anyone does (about 20 ms each).
MAX_WAITING = 256
_waiting = 0
# Checked when there is no such user, so that the answer takes as long.
_nobody = _hasher.hash("nobody has this password")


def digest_of(password: str, secret: SecretStr) -> str:
    """Tells whether two requests name the same password; without ``secret`` it tells nothing."""
    key = sha256(b"placewire fingerprints " + secret.get_secret_value().encode()).digest()
    return hmac.new(key, password.encode(errors="surrogatepass"), sha256).hexdigest()


async def hash_password(password: str) -> str:
    """Raises ``Throttled`` while too many wait already, and ``Invalid`` for text that is no Unicode."""
    return await _in_thread(_hash, password)


async def is_password(password: str, hashed: str | None) -> bool:
    """False also when there is no hash: somebody without a password cannot sign in."""
    matches = await _in_thread(_verify, hashed or _nobody, password)
    return matches and hashed is not None


def _verify(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _hash(password: str) -> str:
    try:
        return _hasher.hash(password)
    except UnicodeEncodeError as error:
        raise Invalid("The password holds a half of a character.") from error


async def _in_thread(work: Callable[..., T], *arguments: str) -> T:
    global _waiting  # noqa: PLW0603 - the queue is the process's, as the thread is
    if _waiting >= MAX_WAITING:
        raise Throttled("Too many people are signing in at this moment. Try again soon.", retry_after_s=5)
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)
    finally:
        _waiting -= 1
