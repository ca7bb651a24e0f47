"""The same small job for Procrastinate, and its worker's process. Run by the benches."""

import asyncio
import os

from procrastinate import App, PsycopgConnector

# A connection for each job at once, beside those for fetching and finishing.
POOL = 20
INSERT = "INSERT INTO bench_effect (id) VALUES (%(id)s)"


def app_of(url: str) -> App:
    connector = PsycopgConnector(conninfo=url, min_size=4, max_size=POOL)
    app = App(connector=connector)

    @app.task(name="effect")
    async def effect(id: str) -> None:  # noqa: A002 - its name in the job
        await connector.execute_query_async(INSERT, id=id)

    return app


async def work() -> None:
    app = app_of(os.environ["DATABASE_URL"])
    async with app.open_async():
        await app.run_worker_async(concurrency=int(os.environ["AT_ONCE"]), wait=True)


if __name__ == "__main__":
    asyncio.run(work())
