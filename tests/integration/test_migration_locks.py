"""A migration of a database in use: it waits for earlier sessions, and later ones do not wait long for it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from devstack.stack import Addresses
from tests.support.eventually import eventually
from tests.support.older_database import database_at, migrate

BEFORE = "0013"
LOCKS = """
SELECT granted FROM pg_locks
 WHERE relation = 'es.job'::regclass AND pid <> ALL ($1)
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest_asyncio.fixture
async def old_database_url(servers: Addresses) -> AsyncIterator[str]:
    """A database at the revision before."""
    async with database_at(servers.database_url, BEFORE) as url:
        yield url


async def test_a_worker_in_the_middle_of_a_claim_goes_on_and_readers_do_not_wait_behind(old_database_url: str) -> None:
    worker, reader = await asyncpg.connect(old_database_url), await asyncpg.connect(old_database_url)
    pids = [worker.get_server_pid(), reader.get_server_pid()]

    async def waits() -> bool:
        return any(not row["granted"] for row in await reader.fetch(LOCKS, pids))

    async def has_given_up() -> bool:
        return not await reader.fetch(LOCKS, pids)

    claim = worker.transaction()
    await claim.start()
    await worker.execute("SELECT FROM es.job FOR UPDATE")
    migration = asyncio.create_task(migrate(old_database_url))
    try:
        await eventually(waits)
        assert not any(row["granted"] for row in await reader.fetch(LOCKS, pids)), "it would wait with a lock in hand"
        async with asyncio.timeout(0.5):
            await worker.execute("UPDATE es.job SET state = 'queued'")
        await eventually(has_given_up)
        assert await reader.fetchval("SELECT count(*) FROM es.job", timeout=0.5) == 0
        assert not migration.done(), "it tries again"
        await claim.commit()
        await migration
    finally:
        migration.cancel()
        await worker.close()
        await reader.close()
