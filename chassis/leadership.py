"""One of several replicas does what only one may: whoever's session holds an advisory lock of Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from chassis.database import connect_alone, translated


@asynccontextmanager
async def leading(
    url: str, lock: int, *, application_name: str, try_every_s: float, durable: bool = True
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A session that holds ``lock``, once no other does; tried every ``try_every_s`` seconds.

    Raises ``Unavailable``, also out of the block, when the session is lost; the server gives the lock up with it.
    """
    session = await connect_alone(url, application_name=application_name, durable=durable)
    try:
        with translated(session):
            while not await session.fetchval("SELECT pg_try_advisory_lock($1)", lock):
                await asyncio.sleep(try_every_s)
            yield session
    finally:
        with suppress(Exception):  # given up either way; the server drops the lock with the session
            await session.close(timeout=2)
