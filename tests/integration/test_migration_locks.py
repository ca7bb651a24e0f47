"""A migration of a database in use waits for open transactions, and does not block later statements for long."""

import asyncio

import asyncpg
import pytest

from migrations import runner
from tests.support.eventually import eventually

LOCKS = """
SELECT granted FROM pg_locks
 WHERE relation = $2::text::regclass AND pid <> ALL ($1)
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.mark.parametrize(
    ("changed", "table", "held", "next_statement", "read"),
    [
        # Replacing triggers waits for writers, and later writers would wait for the migration.
        (
            "es.event_triggers",
            "es.event",
            "INSERT INTO es.event (tx, xid, stream_id, version, event_id, type, data, metadata)"
            " VALUES (es.log_tx(), es.log_xid(), 'user-1', 1, gen_random_uuid(), 'x', '{}', '{}')",
            "DELETE FROM es.stream",
            "SELECT count(*) FROM es.event",
        ),
        # Creating a view again waits for readers, too.
        (
            "drive_funnel",
            "drive_funnel",
            "SELECT FROM drive_funnel",
            "SELECT FROM drive_funnel",
            "SELECT count(*) FROM drive_funnel",
        ),
    ],
)
@pytest.mark.damages
async def test_an_open_transaction_and_readers_do_not_wait_for_a_migration(
    database_url: str, changed: str, table: str, held: str, next_statement: str, read: str
) -> None:
    worker, reader = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    pids = [worker.get_server_pid(), reader.get_server_pid()]
    await worker.execute("UPDATE schema_object SET checksum = 'another text' WHERE name = $1", changed)

    async def migration_waits() -> bool:
        return any(not row["granted"] for row in await reader.fetch(LOCKS, pids, table))

    async def has_given_up() -> bool:
        return not await reader.fetch(LOCKS, pids, table)

    work = worker.transaction()
    await work.start()
    await worker.execute(held)
    migration = asyncio.create_task(runner.migrate(database_url.replace("postgresql://", "postgresql+asyncpg://")))
    try:
        await eventually(migration_waits)
        async with asyncio.timeout(0.5):
            await worker.execute(next_statement)
        await eventually(has_given_up)
        assert await reader.fetchval(read, timeout=0.5) == 0
        assert not migration.done(), "the migration must try again"
        await work.commit()
        await migration
    finally:
        migration.cancel()
        await worker.close()
        await reader.close()
