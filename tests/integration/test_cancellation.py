"""A task that is cancelled while it waits for a connection always stops."""

import asyncio
import random

from chassis.postgres.database import Database
from tests.support.system import as_role

TRIALS = 300


async def test_a_task_cancelled_as_it_gets_a_connection_ends(database_url: str) -> None:
    """``asyncio.wait_for`` of Python 3.11 can lose a cancellation that arrives together with the result."""
    database = Database(as_role(database_url, "placewire_api"), pool_size=1, application_name="test")
    rng = random.Random(7)

    async def use_until_cancelled() -> None:
        while True:
            async with database.connection() as connection:
                await connection.fetchval("SELECT 1")

    for _ in range(TRIALS):
        tasks = [asyncio.create_task(use_until_cancelled()) for _ in range(3)]
        await asyncio.sleep(rng.random() * 0.004)
        for task in tasks:
            task.cancel()
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
        _, running = await asyncio.wait(tasks, timeout=5)
        assert not running
    async with asyncio.timeout(5), database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()
