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
    """Acquire advisory lock ``lock``, trying every ``try_every_s`` seconds, then yield the session that holds it.

    Raises ``Unavailable`` if the session is lost, also during the block. The server then releases the lock.
    """
    session = await connect_alone(url, application_name=application_name, durable=durable)
    try:
        with translated(session):
            while not await session.fetchval("SELECT pg_try_advisory_lock($1)", lock):
                await asyncio.sleep(try_every_s)
            yield session
    finally:
        with suppress(Exception):  # if this fails, the server still releases the lock when the session ends
            await session.close(timeout=2)
