"""A migration of a database in use: it waits for earlier sessions, and later ones do not wait long for it."""

import asyncio
import io
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest_asyncio
from alembic import command

from cli.local.settings import named
from devstack.stack import Addresses
from migrations import runner
from tests.eventually import eventually

BEFORE = "0013"
LOCKS = """
SELECT granted FROM pg_locks
 WHERE relation = 'es.job'::regclass AND pid <> ALL ($1)
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest_asyncio.fixture
async def old_database_url(servers: Addresses) -> AsyncIterator[str]:
    """A database at the revision before."""
    name = f"old_{uuid4().hex}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    url = named(servers.database_url, name)
    config, sql = runner.alembic_config(), io.StringIO()
    config.output_buffer = sql
    command.upgrade(config, BEFORE, sql=True)
    session = await asyncpg.connect(url)
    await session.execute(sql.getvalue())
    await session.close()
    yield url
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


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
    migration = asyncio.create_task(runner.migrate(old_database_url.replace("postgresql://", "postgresql+asyncpg://")))
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
