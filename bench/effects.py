"""One small job in three job systems: an insert into the same table, whose commit the database dates.

Accepted is when the call that queues the job has returned; the effect is dated by ``pg_xact_commit_timestamp``. Both are
the same machine's clock.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

from bench.drives import CAUSE
from bench.stage import Ground
from chassis import event_store, notify
from chassis.database import Database
from chassis.notify import Notifier
from chassis.service import background
from contracts import topics
from contracts.checks import CheckRequested
from devstack.processes import Process
from tests.system import SECRET, as_role

# Jobs that each of the systems may work on at the same time.
AT_ONCE = 4
# Of the API's pool; enough for 100 appends a second.
POOL = 10
WITHIN_S = 300
TABLE = """
CREATE TABLE IF NOT EXISTS bench_effect (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
GRANT INSERT ON bench_effect TO placewire_maintenance
"""
INSERT = "INSERT INTO bench_effect (id) VALUES ($1)"
COMMITTED = "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM bench_effect"
LAST = "SELECT max(extract(epoch FROM pg_xact_commit_timestamp(xmin)))::float8 FROM bench_effect"
# As appends by so many requests would leave them, without so many requests.
QUEUE = """
SELECT count(*) FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, $1::integer) OFFSET 0) one, LATERAL es.append(
    'check-' || one.id, 0, $2, $3, jsonb_build_array(jsonb_build_object(
        'id', one.id, 'type', $4::text, 'data', jsonb_build_object('check_id', one.id),
        'metadata', jsonb_build_object('source', 'bench', 'correlation_id', one.id),
        'job', jsonb_build_object('service', 'maintenance', 'kind', 'check'))))
"""

Send = Callable[[UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class JobSystem:
    """``send`` queues one job; ``queue`` many. ``processes``: all that stands between a queued job and its effect."""

    name: str
    send: Send
    queue: Callable[[int], Awaitable[None]]
    processes: Sequence[Process]


@asynccontextmanager
async def ours(ground: Ground) -> AsyncIterator[JobSystem]:
    """Append, outbox, relay, Kafka, consumer, runner: every part as it is in a service."""
    await ground.owner.execute(TABLE)
    relay = ground.system.start("relay")
    worker, _ = ground.start(
        "worker",
        "bench.effect_worker",
        DATABASE_URL=as_role(ground.url, "placewire_maintenance"),
        KAFKA_BOOTSTRAP_SERVERS=ground.system.kafka_bootstrap_servers,
        INTERNAL_SECRET=SECRET,
        JOBS_AT_ONCE=str(AT_ONCE),
        LOG_LEVEL="warning",
    )
    url = as_role(ground.url, "placewire_api")
    database = Database(url, pool_size=POOL, application_name="bench-api")
    notifier = Notifier(url, application_name="bench-api-notify")

    async def send(id_: UUID) -> None:
        async with database.transaction() as connection:
            await event_store.append(
                connection, f"check-{id_}", [CheckRequested(check_id=id_)], CAUSE, expected_version=0
            )
        notifier.notify(notify.OUTBOX)

    async def queue(count: int) -> None:
        topic = topics.MAINTENANCE
        await ground.owner.execute(QUEUE, count, topic.name, int(topic.lane), CheckRequested.TYPE)

    try:
        async with background(notifier.run):
            yield JobSystem("placewire", send, queue, (relay, worker))
    finally:
        await database.close()


@asynccontextmanager
async def procrastinate(ground: Ground) -> AsyncIterator[JobSystem]:
    from bench import procrastinate_jobs

    await ground.owner.execute(TABLE)
    app = procrastinate_jobs.app_of(ground.url)
    async with app.open_async():
        if await ground.owner.fetchval("SELECT to_regclass('procrastinate_jobs') IS NULL"):
            await app.schema_manager.apply_schema_async()
        task = app.tasks["effect"]
        worker, _ = ground.start("procrastinate", "bench.procrastinate_jobs", ready=False, AT_ONCE=str(AT_ONCE))

        async def send(id_: UUID) -> None:
            await task.defer_async(id=str(id_))

        async def queue(count: int) -> None:
            await task.batch_defer_async(*({"id": str(uuid4())} for _ in range(count)))

        yield JobSystem("procrastinate", send, queue, (worker,))


@asynccontextmanager
async def pgqueuer(ground: Ground) -> AsyncIterator[JobSystem]:
    import asyncpg

    from bench import pgqueuer_jobs

    await ground.owner.execute(TABLE)
    async with asyncpg.create_pool(ground.url, min_size=1, max_size=POOL) as pool:
        queries = await pgqueuer_jobs.queries_of(pool)
        worker, _ = ground.start("pgqueuer", "bench.pgqueuer_jobs", ready=False, AT_ONCE=str(AT_ONCE))

        async def send(id_: UUID) -> None:
            await queries.enqueue("effect", id_.bytes)

        async def queue(count: int) -> None:
            await queries.enqueue(["effect"] * count, [uuid4().bytes for _ in range(count)], [0] * count)

        yield JobSystem("pgqueuer", send, queue, (worker,))


async def ready(ground: Ground, *systems: JobSystem) -> None:
    """Return when each of ``systems`` has had an effect: whatever must be started has been."""
    for one in systems:
        await cleared(ground)
        await one.send(uuid4())
        await effects(ground, 1)


async def cleared(ground: Ground) -> None:
    await ground.owner.execute("TRUNCATE bench_effect")
    await ground.settle()


async def effects(ground: Ground, count: int) -> None:
    """Return when there are ``count``. Raises ``TimeoutError`` after ``WITHIN_S``, ``AssertionError`` at too many."""
    async with asyncio.timeout(WITHIN_S):
        while (found := await ground.owner.fetchval("SELECT count(*) FROM bench_effect")) < count:
            await asyncio.sleep(0.1)
    assert found == count, f"{found} effects of {count} jobs"


async def drained_s(ground: Ground, system: JobSystem, count: int) -> float:
    """Queue ``count`` jobs while nobody works, then let everybody work; the seconds until the last is committed."""
    await cleared(ground)
    for process in system.processes:
        process.suspend()
    try:
        await system.queue(count)
        await ground.settle()
    finally:
        began = time.time()
        for process in system.processes:
            process.resume()
    await effects(ground, count)
    last: float = await ground.owner.fetchval(LAST)
    return last - began
