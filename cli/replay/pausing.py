"""Pause all appends for a moment, by taking the log's lock, which each append holds in shared mode.

A session that waits for this lock also makes new appends wait. So this module waits only briefly. If a long
transaction holds the lock, it gives up and tries again later, and appends run in between.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

import asyncpg

from chassis.postgres.database import Connection
from cli.failures import Failure
from cli.replay.repair import writable

T = TypeVar("T")

LOG_LOCK = 7_461_923_008
# Also applies to row locks, because an append that waits for this session may hold a row that this session needs.
# Shorter than deadlock_timeout, so that Postgres cancels this session and never the append.
LOCK_TIMEOUT_MS = 250
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 5.0
GIVE_UP_AFTER_S = 300.0
# If this process is killed or frozen, the server ends its transaction, so that appends do not wait for it.
GUARD_MS = 1_000
GUARDS = """
SET lock_timeout = {lock_ms};
SET transaction_timeout = {transaction_ms};
SET client_connection_check_interval = 100;
"""
NO_GUARDS = """
RESET lock_timeout;
SET transaction_timeout = 0;
RESET client_connection_check_interval;
"""
ALONE = f"SELECT pg_advisory_xact_lock({LOG_LOCK})"


@dataclass(slots=True)
class Pause:
    """How many seconds appends were blocked, and how many attempts were given up before that."""

    seconds: float = 0
    attempts_given_up: int = 0


async def without_appends(
    session: Connection,
    work: Callable[[], Awaitable[T]],
    *,
    between: Callable[[], Awaitable[object]],
    longest_s: float,
) -> tuple[T, Pause]:
    """Run ``work`` in one transaction of ``session`` while no append can commit. ``between`` runs before each attempt.

    Raises ``Failure`` when ``work`` takes longer than ``longest_s``, or when another transaction holds the log's lock
    for minutes. Nothing is written in these cases.
    """
    pause, wait_s, deadline = Pause(), FIRST_PAUSE_S, monotonic() + GIVE_UP_AFTER_S
    while True:
        await between()
        began = monotonic()
        try:
            async with _guarded(session, longest_s), session.transaction():
                began = monotonic()
                # The timeout does not cover the commit. After the commit has begun, only the server decides its result.
                async with asyncio.timeout(longest_s):
                    await session.execute(ALONE)
                    done = await work()
        except TimeoutError as error:
            raise Failure(
                f"the repair takes longer than {longest_s:g} s, and appends would wait: nothing was changed. "
                "Allow more with --longest-pause, at a quiet time"
            ) from error
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if monotonic() > deadline:
                raise Failure("a transaction has held the log for minutes; nothing was changed") from error
        else:
            pause.seconds = monotonic() - began
            return done, pause
        pause.attempts_given_up += 1
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, LAST_PAUSE_S)


@asynccontextmanager
async def _guarded(session: Connection, longest_s: float) -> AsyncIterator[None]:
    guards = GUARDS.format(lock_ms=LOCK_TIMEOUT_MS, transaction_ms=int(longest_s * 1000) + GUARD_MS)
    async with writable(session):
        await session.execute(guards)
        try:
            yield
        finally:
            if not session.is_closed():
                await session.execute(NO_GUARDS)
