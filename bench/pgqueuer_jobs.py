"""The small job of the benches in PgQueuer, and the process of its worker."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import uvloop
from pgqueuer import AsyncpgPoolDriver, Job, PgQueuer, Queries

from bench.effects import INSERT, TABLE, JobSystem
from bench.stage import Ground

POOL = 20


@asynccontextmanager
async def system(ground: Ground) -> AsyncIterator[JobSystem]:
    await ground.owner.execute(TABLE)
    async with asyncpg.create_pool(ground.url, min_size=1, max_size=POOL) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        if not await queries.schema_is_installed():
            await queries.install()
        worker, _ = ground.start("pgqueuer", "bench.pgqueuer_jobs", ready=False)

        async def send(id_: UUID) -> None:
            await queries.enqueue("effect", id_.bytes)

        async def queue(count: int) -> None:
            await queries.enqueue(["effect"] * count, [uuid4().bytes for _ in range(count)], [0] * count)

        yield JobSystem("pgqueuer", send, queue, (worker,))


async def work() -> None:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=POOL) as pool:
        queuer = PgQueuer(AsyncpgPoolDriver(pool))

        @queuer.entrypoint("effect")
        async def effect(job: Job) -> None:
            assert job.payload is not None
            await pool.execute(INSERT, UUID(bytes=job.payload))

        # The lowest limit that PgQueuer's batches of 10 allow. With a limit on the entry point it is ten times slower.
        await queuer.run(max_concurrent_tasks=20)


if __name__ == "__main__":
    uvloop.run(work())
