"""Run the benches' small job through Placewire: append, outbox, relay, Kafka, consumer and worker, as in a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from bench.drives import CAUSE
from bench.effects import AT_ONCE, TABLE, JobSystem
from bench.stage import Ground
from chassis.eventstore import event_store
from chassis.http.service import background
from chassis.postgres import notify
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from contracts import topics
from contracts.checks import CheckRequested
from tests.support.system import SECRET, as_role

# Enough for 100 appends a second.
POOL = 10
# Queues $1 jobs in one statement, with the rows that $1 requests would write.
QUEUE = """
SELECT count(*)
  FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, $1::integer) OFFSET 0) one,
       LATERAL es.append('check-' || one.id, 0, $2, $3, jsonb_build_array(jsonb_build_object(
           'id', one.id, 'type', $4::text, 'data', jsonb_build_object('check_id', one.id),
           'metadata', jsonb_build_object('source', 'bench', 'correlation_id', one.id),
           'job', jsonb_build_object('service', 'maintenance', 'kind', 'check'))))
"""


@asynccontextmanager
async def system(ground: Ground) -> AsyncIterator[JobSystem]:
    """Start the relay and a worker. Yield a job system whose ``send`` requests a job as the API does."""
    await ground.owner.execute(TABLE)
    relay = ground.system.start("relay")
    worker, _ = ground.start(
        "worker",
        "bench.effect_worker",
        DATABASE_URL=as_role(ground.url, "placewire_maintenance"),
        KAFKA_BOOTSTRAP_SERVERS=ground.system.kafka_bootstrap_servers,
        INTERNAL_SECRET=SECRET,
        JOBS_AT_ONCE=str(AT_ONCE),
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
