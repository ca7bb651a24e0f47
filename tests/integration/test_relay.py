"""The relay sends the outbox to Kafka: one leader, order of streams, lanes and quarantine."""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.http.service import background
from chassis.messaging.relay import Relay
from chassis.messaging.relay_process import RelaySettings
from chassis.messaging.topics import create_topics
from chassis.postgres.database import Database, connect_alone
from contracts import topics
from contracts.users import PasswordChanged
from devstack.stack import Addresses
from tests.support.eventually import eventually
from tests.support.sizes import sized
from tests.support.system import as_role

Owner = asyncpg.Connection
EVENTS = sized(small=1_000, full=20_000)
CAUSE = Cause(source="test", correlation_id=UUID(int=7))
EMPTY = "SELECT NOT EXISTS (SELECT FROM es.outbox WHERE event_id IS NOT NULL AND quarantined_at IS NULL)"


@pytest_asyncio.fixture
async def settings(database_url: str, servers: Addresses) -> RelaySettings:
    relay_settings = RelaySettings(
        database_url=as_role(database_url, "placewire_relay"), kafka_bootstrap_servers=servers.kafka_bootstrap_servers
    )
    await create_topics(relay_settings)
    return relay_settings


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    api_database = Database(as_role(database_url, "placewire_api"), pool_size=16, application_name="test")
    yield api_database
    await api_database.close()


@asynccontextmanager
async def listening(servers: Addresses, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer that reads only records sent after this moment."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers.kafka_bootstrap_servers, auto_offset_reset="latest", enable_auto_commit=False
    )
    await consumer.start()
    await consumer.seek_to_end()
    for part in consumer.assignment():
        await consumer.position(part)
    try:
        yield consumer
    finally:
        await consumer.stop()


async def append(database: Database, stream: str, count: int = 1) -> None:
    async with database.transaction() as connection:
        await event_store.append(connection, stream, [PasswordChanged(user_id=1)] * count, CAUSE, expected_version=None)


async def drained(owner: "Owner[asyncpg.Record]") -> bool:
    return bool(await owner.fetchval(EMPTY))


async def received_events(consumer: AIOKafkaConsumer, source: str = "/placewire/test") -> list[tuple[str, int]]:
    """Return stream and version of each received event from ``source``, in the order of the partition."""
    received: list[tuple[str, int]] = []
    while records := await consumer.getmany(timeout_ms=700):
        for batch in records.values():
            for record in batch:
                headers = {name: value.decode() for name, value in record.headers}
                if headers["ce_source"] == source:
                    received.append((headers["ce_subject"], int(headers["ce_streamversion"])))
    return received


async def test_events_of_sixteen_writers_arrive_completely_and_each_stream_in_order(
    settings: RelaySettings, servers: Addresses, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    relay = Relay(settings, settings.database_url)
    run_id = os.urandom(3).hex()
    async with listening(servers, topics.USER.name) as consumer, background(relay.run):
        counter = iter(range(EVENTS))

        async def write() -> None:
            for number in counter:
                await append(database, f"user-{run_id}-{number % 40}", 1 + number % 3)

        await asyncio.gather(*(write() for _ in range(16)))
        await eventually(lambda: drained(owner), within_s=30)
        received = [pair for pair in await received_events(consumer) if run_id in pair[0]]
    assert len(received) == await owner.fetchval("SELECT count(*) FROM es.event")
    by_stream: dict[str, list[int]] = defaultdict(list)
    for stream, version in received:
        by_stream[stream].append(version)
    assert len(by_stream) == 40
    assert all(versions == list(range(1, len(versions) + 1)) for versions in by_stream.values())


async def test_one_of_two_relays_sends_and_the_other_takes_over(
    settings: RelaySettings, servers: Addresses, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    first, second = Relay(settings, settings.database_url), Relay(settings, settings.database_url)
    run_id = os.urandom(3).hex()
    async with listening(servers, topics.USER.name) as consumer, background(second.run):
        async with background(first.run):

            async def one_leads() -> bool:
                return first.leading or second.leading

            await eventually(one_leads)
            for number in range(200):
                await append(database, f"user-{run_id}-{number}")
                assert not (first.leading and second.leading)
            await eventually(lambda: drained(owner))
            sent = [pair for pair in await received_events(consumer) if run_id in pair[0]]
            assert len(sent) == len(set(sent)) == 200
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'placewire-relay' AND datname = current_database()"
        )

        async def second_leads() -> bool:
            return second.leading

        await eventually(second_leads)
        await append(database, f"user-{run_id}-last")
        await eventually(lambda: drained(owner))
        assert (f"user-{run_id}-last", 1) in await received_events(consumer)


async def test_many_rows_in_the_bulk_lane_do_not_delay_a_job(
    settings: RelaySettings, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute(
        "INSERT INTO es.outbox (lane, topic, key, extra)"
        " SELECT 1, 'placewire.registration', 'k' || i, jsonb_build_object('sent_at', now())"
        " FROM generate_series(1, 5000) i"
    )
    await owner.execute(
        "INSERT INTO es.outbox (lane, topic, key, extra) VALUES"
        " (0, 'placewire.drive', 'urgent', jsonb_build_object('sent_at', now()))"
    )
    session = await connect_alone(settings.database_url, application_name="test-relay")
    relay = Relay(settings, settings.database_url)
    try:
        assert await relay.turn(session)
        assert await owner.fetchval("SELECT count(*) FROM es.outbox WHERE key = 'urgent'") == 0
        assert await owner.fetchval("SELECT count(*) FROM es.outbox WHERE lane = 1") == 4500
    finally:
        await relay.close()
        await session.close()


async def test_a_row_that_kafka_refuses_blocks_only_rows_of_its_key(
    settings: RelaySettings, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    await append(database, "user-1")
    await append(database, "user-2")
    # Kafka refuses this row because of its size. `append` would refuse it too, so the test inserts it.
    await owner.execute(
        "INSERT INTO es.outbox (lane, topic, key, event_id, extra)"
        " SELECT lane, topic, key, event_id, jsonb_build_object('pad', repeat('x', 2000000))"
        " FROM es.outbox WHERE key = 'user-1'"
    )
    await append(database, "user-1")
    relay = Relay(settings, settings.database_url)
    async with background(relay.run):

        async def quarantined() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM es.outbox WHERE quarantined_at IS NOT NULL"))

        await eventually(quarantined)
        await append(database, "user-2")
        await eventually(lambda: all_sent_except(owner, "user-1"))
    rows = await owner.fetch("SELECT key, error FROM es.outbox WHERE event_id IS NOT NULL ORDER BY id")
    assert [(row["key"], row["error"]) for row in rows] == [("user-1", "MessageSizeTooLargeError"), ("user-1", None)]


async def all_sent_except(owner: "Owner[asyncpg.Record]", key: str) -> bool:
    return not await owner.fetchval("SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL AND key <> $1", key)


async def test_a_kafka_record_is_a_cloud_event(
    settings: RelaySettings, servers: Addresses, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    relay = Relay(settings, settings.database_url)
    async with listening(servers, topics.USER.name) as consumer, background(relay.run):
        await append(database, "user-77")
        record = await asyncio.wait_for(consumer.getone(), 10)
    headers = {name: value.decode() for name, value in record.headers}
    assert record.key == b"user-77"
    assert json.loads(record.value) == {"user_id": 1, "first": False}
    assert headers["ce_type"] == "placewire.user.password-changed.v1"
    assert headers["ce_id"] == str(await owner.fetchval("SELECT event_id FROM es.event"))
    assert (headers["ce_subject"], headers["content-type"]) == ("user-77", "application/json")
