"""The same small job in three job systems: an insert into a table.

A job is accepted when the call that queues it returns. The time of its effect is ``pg_xact_commit_timestamp``. Both
times come from the clock of the same machine. Job systems: ``placewire_jobs``, ``procrastinate_jobs``,
``pgqueuer_jobs``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from bench.stage import Ground
from devstack.processes import Process

# Concurrent transactions of Placewire, each with up to ``BATCH_SIZE`` small jobs. Procrastinate runs 32 jobs at once,
# with which it is a tenth faster than with 4. PgQueuer runs the lowest number that its batches allow.
AT_ONCE = 4
WITHIN_S = 300
# The table has its own schema, because verify checks every table of the schema public.
TABLE = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.effect (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
GRANT USAGE ON SCHEMA bench TO placewire_maintenance;
GRANT INSERT ON bench.effect TO placewire_maintenance
"""
INSERT = "INSERT INTO bench.effect (id) VALUES ($1)"
COMMITTED = "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM bench.effect"
LAST = "SELECT max(extract(epoch FROM pg_xact_commit_timestamp(xmin)))::float8 FROM bench.effect"

Send = Callable[[UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class JobSystem:
    """``send`` queues one job; ``queue`` queues many in one transaction.

    ``processes``: the processes between a queued job and its effect.
    """

    name: str
    send: Send
    queue: Callable[[int], Awaitable[None]]
    processes: Sequence[Process]


async def ready(ground: Ground, *systems: JobSystem) -> None:
    """Wait until each of ``systems`` has had one effect, so that everything has started."""
    for system in systems:
        await clear_effects(ground)
        await system.send(uuid4())
        await effects(ground, 1)


async def clear_effects(ground: Ground) -> None:
    await ground.owner.execute("TRUNCATE bench.effect")
    await ground.settle()


async def effects(ground: Ground, count: int) -> None:
    """Wait for ``count`` effects. Raises ``TimeoutError`` after ``WITHIN_S``, ``AssertionError`` for too many."""
    async with asyncio.timeout(WITHIN_S):
        while (rows := await ground.owner.fetchval("SELECT count(*) FROM bench.effect")) < count:
            await asyncio.sleep(0.1)
    assert rows == count, f"{rows} effects of {count} jobs"


async def drained_s(ground: Ground, system: JobSystem, count: int) -> float:
    """Queue ``count`` jobs in one transaction. Return the seconds until all are done."""
    await clear_effects(ground)
    await system.queue(count)
    began = time.time()
    await effects(ground, count)
    last: float = await ground.owner.fetchval(LAST)
    return last - began
