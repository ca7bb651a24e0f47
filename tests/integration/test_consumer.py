"""The consumer on a real broker: repeated records, records out of order, and unreadable records."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from chassis.eventstore.event_store import envelope
from chassis.http.service import background
from chassis.jobs.job_handler import JobHandler, Outcome
from chassis.jobs.queue import Claim
from chassis.jobs.worker import Worker
from chassis.messaging.kafka import Consumer
from chassis.messaging.topics import create_topics
from chassis.observability import metrics
from chassis.postgres.database import Connection, Database, connect_alone
from chassis.settings import ServiceSettings
from contracts import topics
from contracts.jobs import Channel, Job, Service, State
from devstack.stack import Addresses
from services.eligibility import handlers, subscribers
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.job_worker import EVALUATION, waited, working
from tests.support.system import SECRET, as_role

Owner = asyncpg.Connection
EVENT = "SELECT event_id, type, data, metadata, stream_id, version, recorded_at FROM es.event WHERE event_id = $1"
RESULTS = "SELECT data ->> 'job_id' AS job, count(*) FROM es.event WHERE type LIKE '%evaluated%' GROUP BY 1"
KEY = b"one-partition"


pytestmark = pytest.mark.usefixtures("no_polls")


@asynccontextmanager
async def consuming(
    database_url: str, servers: Addresses, work: JobHandler = EVALUATION
) -> AsyncIterator[tuple[Worker, AIOKafkaProducer]]:
    """Yield the worker of a consumer that has joined its group, and a producer."""
    url = as_role(database_url, "placewire_eligibility")
    settings = ServiceSettings(
        database_url=url,
        port=1,
        internal_secret=SECRET,
        kafka_bootstrap_servers=servers.kafka_bootstrap_servers,
    )
    await create_topics(settings)
    database = Database(url, pool_size=5, application_name="test-consumer")
    producer = AIOKafkaProducer(bootstrap_servers=servers.kafka_bootstrap_servers)
    await producer.start()
    try:
        async with working(database_url, work=work) as worker:
            consumer = Consumer(
                settings, database, Service.ELIGIBILITY, [topics.DRIVE], subscribers.subscribe, worker.wake
            )

            async def joined() -> bool:
                await producer.send_and_wait(topics.PROBE.name, datetime.now(UTC).isoformat().encode())
                return consumer.is_healthy()

            async with background(consumer.run):
                await eventually(joined, within_s=60)
                yield worker, producer
    finally:
        await producer.stop()
        await database.close()


async def send(database_url: str, producer: AIOKafkaProducer, job_id: UUID) -> None:
    """Send the record of the job, as the relay does."""
    connection = await connect_alone(database_url, application_name="test-relay")
    try:
        row = await connection.fetchrow(EVENT, job_id)
    finally:
        await connection.close()
    assert row is not None
    event = envelope(row)
    await producer.send_and_wait(topics.DRIVE.name, orjson.dumps(event.data), key=KEY, headers=event.kafka_headers())


async def requested_job(api: Api) -> UUID:
    answer = await api.post("/api/drives", json={**DRIVE, "auto_calc": True})
    return UUID(answer.json()["job"]["id"])


async def ended_job(worker: Worker, job_id: UUID) -> Job:
    job = await waited(worker, job_id, timeout_s=30)
    assert job is not None
    return job


def unreadable() -> float:
    return float(metrics.UNREADABLE.labels(Service.ELIGIBILITY, topics.DRIVE.name)._value.get())


async def test_repeated_records_in_any_order_leave_one_result_each(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses
) -> None:
    await enrol(owner, 200)
    async with consuming(database_url, servers) as (worker, producer):
        first = await requested_job(api)
        newer = UUID((await api.patch("/api/drives/1", json={"min_cgpa": "8"})).json()["job"]["id"])
        last = await requested_job(api)
        for job_id in (newer, first, newer, first, first, last):
            await send(database_url, producer, job_id)
        assert {(await ended_job(worker, job_id)).state for job_id in (first, newer, last)} == {State.SUCCEEDED}
        for job_id in (newer, first, last):
            await send(database_url, producer, job_id)  # after the job has ended
        another = await requested_job(api)
        await send(database_url, producer, another)
        assert (await ended_job(worker, another)).channel is Channel.KAFKA
    results = {row["job"]: row["count"] for row in await owner.fetch(RESULTS)}
    assert results[str(newer)] == results[str(last)] == 1
    assert results.get(str(first), 0) <= 1
    assert await owner.fetchval("SELECT drive_version FROM evaluations WHERE drive_id = 1") == 4


@pytest.mark.parametrize("header", [b"\x00\x01", b"\xff", None], ids=["nul", "no-text", "null"])
async def test_an_unreadable_record_is_counted_and_does_not_block_its_partition(
    api: Api,
    owner: "Owner[asyncpg.Record]",
    database_url: str,
    servers: Addresses,
    header: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind = ("ce_type", b"placewire.drive.published.v1")
    headers: list[list[tuple[str, bytes | None]]] = [
        [],
        [("theirs", header)],
        [kind, ("ce_id", header)],
        [kind, ("ce_id", b"not-a-uuid"), ("ce_correlationid", b"x")],
        [kind, ("ce_id", str(UUID(int=9)).encode())],  # valid headers, but the value is no event
        [("\0", header)],
    ]
    before = unreadable()
    async with consuming(database_url, servers) as (worker, producer):
        for record_headers in headers:
            value = b"secret-" + os.urandom(8)
            await producer.send_and_wait(topics.DRIVE.name, value, key=KEY, headers=record_headers)
        await producer.send_and_wait(topics.PROBE.name, b"not a time")
        job_id = await requested_job(api)
        await send(database_url, producer, job_id)
        job = await ended_job(worker, job_id)
    assert (job.state, job.channel) == (State.SUCCEEDED, Channel.KAFKA)
    assert unreadable() - before == len(headers)
    assert "secret-" not in caplog.text


async def test_a_job_that_fails_does_not_block_its_partition(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses
) -> None:
    poison: list[UUID] = []

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if claimed.id in poison:
            raise ZeroDivisionError
        return await handlers.evaluate(connection, claimed)

    async with consuming(database_url, servers, JobHandler(handle=handle, failed=handlers.failed)) as (
        worker,
        producer,
    ):
        poison.append(await requested_job(api))
        last = await requested_job(api)
        await send(database_url, producer, poison[0])
        await send(database_url, producer, last)
        assert (await ended_job(worker, last)).state is State.SUCCEEDED
        assert (await ended_job(worker, poison[0])).state is State.FAILED
    assert await owner.fetchval("SELECT dead_lettered FROM es.job WHERE id = $1", poison[0])


async def test_a_record_that_comes_while_the_database_is_away_wakes_the_worker_later(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with consuming(database_url, servers) as (worker, producer):
        monkeypatch.setattr("chassis.jobs.worker.POLL_S", 0.5)
        await owner.execute("ALTER ROLE placewire_eligibility NOLOGIN")
        try:
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'placewire_eligibility'"
            )
            job_id = await requested_job(api)
            await send(database_url, producer, job_id)
            await asyncio.sleep(1.5)
            assert await owner.fetchval("SELECT state FROM es.job") == "queued"
        finally:
            await owner.execute("ALTER ROLE placewire_eligibility LOGIN")
        job = await ended_job(worker, job_id)
    assert (job.state, job.channel) == (State.SUCCEEDED, Channel.KAFKA)


@pytest.mark.full_only
async def test_a_consumer_that_stopped_fetching_is_replaced(
    owner: Owner, database_url: str, servers: Addresses
) -> None:
    """The fetch task of aiokafka can end without an error (aiokafka#983 and #1038)."""
    async with consuming(database_url, servers) as (_, producer):
        consumers = (candidate for candidate in gc.get_objects() if isinstance(candidate, AIOKafkaConsumer))
        [consumer] = [candidate for candidate in consumers if not candidate._closed]
        consumer._fetcher._fetch_task.cancel()

        async def a_new_probe_arrives() -> bool:
            sent_at = datetime.now(UTC)
            await producer.send_and_wait(topics.PROBE.name, sent_at.isoformat().encode())
            await asyncio.sleep(1)
            return bool(await owner.fetchval("SELECT sent_at >= $1 FROM es.probe", sent_at))

        assert not await a_new_probe_arrives()
        await eventually(a_new_probe_arrives, within_s=45)
