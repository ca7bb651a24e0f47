"""Password hashes (argon2id), made and checked in threads of their own: each costs tens of milliseconds of one core."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

# Source: OWASP Password Storage Cheat Sheet, argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# A wave of sign-ins waits here, and leaves a core to everything else.
_threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="argon2")
# Checked when there is no such user, so that the answer takes as long.
_nobody = _hasher.hash("nobody has this password")


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def is_password(password: str, hashed: str | None) -> bool:
    """False also when there is no hash: somebody without a password cannot sign in."""
    matches = await asyncio.get_running_loop().run_in_executor(_threads, _verify, hashed or _nobody, password)
    return matches and hashed is not None


def _verify(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
