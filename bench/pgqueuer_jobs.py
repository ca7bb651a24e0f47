"""The same small job for PgQueuer, and its worker's process. Run by the benches, for information."""

import os
from uuid import UUID

import asyncpg
import uvloop
from pgqueuer import AsyncpgPoolDriver, Job, PgQueuer, Queries

from bench.effects import INSERT

POOL = 20


async def queries_of(pool: asyncpg.Pool) -> Queries:
    """PgQueuer's own way to queue jobs; its tables are there."""
    queries = Queries(AsyncpgPoolDriver(pool))
    if not await queries.schema_is_installed():
        await queries.install()
    return queries


async def work() -> None:
    at_once = int(os.environ["AT_ONCE"])
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=POOL) as pool:
        queuer = PgQueuer(AsyncpgPoolDriver(pool))

        @queuer.entrypoint("effect", concurrency_limit=at_once)
        async def effect(job: Job) -> None:
            assert job.payload is not None
            await pool.execute(INSERT, UUID(bytes=job.payload))

        await queuer.run()


if __name__ == "__main__":
    uvloop.run(work())
