"""Leader election among replicas: the leader's session holds an advisory lock of Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from chassis.postgres.database import connect_alone, translated


@asynccontextmanager
async def leading(
    url: str, lock: int, *, application_name: str, try_every_s: float, durable: bool = True
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Wait until no other session holds ``lock``, then yield a session that does. Tries every ``try_every_s`` seconds.

    Raises ``Unavailable``, also out of the block, when the session is lost. The server then releases the lock.
    """
    session = await connect_alone(url, application_name=application_name, durable=durable)
    try:
        with translated(session):
            while not await session.fetchval("SELECT pg_try_advisory_lock($1)", lock):
                await asyncio.sleep(try_every_s)
            yield session
    finally:
        with suppress(Exception):  # the server releases the lock with the session in any case
            await session.close(timeout=2)
