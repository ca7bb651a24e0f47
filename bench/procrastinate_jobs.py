"""The small job of the benches in Procrastinate, and the process of its worker."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import uvloop
from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

from bench.effects import TABLE, JobSystem
from bench.stage import Ground

CONCURRENCY = 32
# One connection for each concurrent job, and four to fetch and finish jobs.
POOL = CONCURRENCY + 4
# The INSERT of ``bench.effects``, with psycopg's parameter style.
INSERT = "INSERT INTO bench.effect (id) VALUES (%(effect_id)s)"


def app_of(url: str) -> App:
    """Return Procrastinate's app, set up as its documentation recommends, with one task: ``effect``."""
    connector = PsycopgConnector(conninfo=url, min_size=4, max_size=POOL)
    app = App(connector=connector)

    @app.task(name="effect")
    async def effect(effect_id: str) -> None:
        await connector.execute_query_async(INSERT, effect_id=effect_id)

    return app


@asynccontextmanager
async def system(ground: Ground) -> AsyncIterator[JobSystem]:
    await ground.owner.execute(TABLE)
    app = app_of(ground.url)
    async with app.open_async():
        if await ground.owner.fetchval("SELECT to_regclass('procrastinate_jobs') IS NULL"):
            await app.schema_manager.apply_schema_async()
        task = app.tasks["effect"]
        worker, _ = ground.start("procrastinate", "bench.procrastinate_jobs", ready=False)

        async def send(id_: UUID) -> None:
            await task.defer_async(effect_id=str(id_))

        async def queue(count: int) -> None:
            arguments: list[JSONDict] = [{"effect_id": str(uuid4())} for _ in range(count)]
            await task.batch_defer_async(*arguments)

        yield JobSystem("procrastinate", send, queue, (worker,))


async def work() -> None:
    app = app_of(os.environ["DATABASE_URL"])
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, wait=True)


if __name__ == "__main__":
    uvloop.run(work())
