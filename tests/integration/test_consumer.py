"""The consumer on a real broker: duplicates, records out of order, records that cannot be read."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from chassis.bus import Consumer
from chassis.database import Connection, Database
from chassis.jobs import Claim
from chassis.kafka_topics import create_topics
from chassis.runner import Runner
from chassis.service import background
from chassis.settings import ServiceSettings
from chassis.work import Outcome, Work
from contracts import topics
from contracts.jobs import Channel, Service, State
from devstack.stack import Addresses
from services.eligibility import handlers
from tests.conftest import Api
from tests.enrolment import DRIVE, enrol
from tests.eventually import eventually
from tests.system import SECRET, as_role
from tests.worker import EVALUATION, waited, working

Owner = asyncpg.Connection
RESULTS = "SELECT data ->> 'job_id' AS job, count(*) FROM es.event WHERE type LIKE '%evaluated%' GROUP BY 1"


@asynccontextmanager
async def consuming(
    database_url: str, servers: Addresses, work: Work = EVALUATION
) -> AsyncIterator[tuple[Runner, AIOKafkaProducer]]:
    """A consumer with its runner, and a producer to ring its bell."""
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
        async with working(database_url, work=work) as runner:
            consumer = Consumer(
                settings, database, Service.ELIGIBILITY, [topics.DRIVE], lambda ids: runner.receive(ids, Channel.KAFKA)
            )
            async with background(consumer.run):
                yield runner, producer
    finally:
        await producer.stop()
        await database.close()


async def ring(producer: AIOKafkaProducer, job_id: str, type_: str = "placewire.drive.published.v1") -> None:
    headers = [("ce_id", job_id.encode()), ("ce_type", type_.encode())]
    await producer.send_and_wait(topics.DRIVE.name, b"{}", key=b"one-partition", headers=headers)


async def asked(api: Api, **changes: Any) -> str:
    answer = await api.post("/api/drives", json={**DRIVE, "auto_calc": True, **changes})
    job_id: str = answer.json()["job"]["id"]
    return job_id


async def ended(runner: Runner, job_id: str) -> State:
    job = await waited(runner, UUID(job_id), timeout_s=30)
    assert job is not None
    return job.state


async def test_duplicates_and_disorder_leave_one_result_each(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses
) -> None:
    await enrol(owner, 200)
    first = await asked(api)
    newer = (await api.patch("/api/drives/1", json={"min_cgpa": "8"})).json()["job"]["id"]
    marker = await asked(api)
    async with consuming(database_url, servers) as (runner, producer):
        for job_id in (newer, first, newer, first, first):
            await ring(producer, job_id)
        await ring(producer, marker)  # behind them on the same partition: once it is done, they were handled
        assert await ended(runner, marker) is State.SUCCEEDED
        assert await ended(runner, newer) is State.SUCCEEDED
        assert await ended(runner, first) is State.SUCCEEDED
    results = {row["job"]: row["count"] for row in await owner.fetch(RESULTS)}
    # Which of the two ran first is the runner's business; what counts is that the newer one stands.
    assert results[newer] == results[marker] == 1
    assert results.get(first, 0) <= 1
    assert await owner.fetchval("SELECT drive_version FROM evaluations WHERE drive_id = 1") == 4


async def test_what_cannot_be_read_is_kept_and_delays_nobody(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses
) -> None:
    marker = await asked(api)
    nonsense = os.urandom(8)
    async with consuming(database_url, servers) as (runner, producer):
        await producer.send_and_wait(topics.DRIVE.name, nonsense, key=b"one-partition")
        await producer.send_and_wait(
            topics.DRIVE.name, nonsense, key=b"one-partition",
            headers=[("ce_type", b"placewire.drive.published.v1"), ("ce_id", b"not-a-uuid")],
        )  # fmt: skip
        await producer.send_and_wait(topics.CANARY.name, b"not a time", key=b"canary")
        await ring(producer, marker)
        assert await ended(runner, marker) is State.SUCCEEDED

        async def kept() -> bool:
            found: int = await owner.fetchval("SELECT count(*) FROM es.undecodable WHERE value = $1", nonsense)
            return found == 2

        await eventually(kept)
    reasons = [row["error"] for row in await owner.fetch("SELECT error FROM es.undecodable WHERE value = $1", nonsense)]
    assert any("ce_type" in reason for reason in reasons)
    assert any("badly formed" in reason for reason in reasons)


async def test_poison_of_every_sort_delays_nobody_on_its_partition(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses
) -> None:
    first, poison, last = await asked(api), await asked(api), await asked(api)

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if str(claimed.id) == poison:
            raise ZeroDivisionError
        return await handlers.evaluate(connection, claimed)

    async with consuming(database_url, servers, Work(handle=handle, failed=handlers.failed)) as (runner, producer):
        await ring(producer, first)
        await producer.send_and_wait(topics.DRIVE.name, b"\xff\x00", key=b"one-partition")
        await ring(producer, str(UUID(int=9)), "placewire.drive.published.v9")
        await ring(producer, poison)
        await ring(producer, last)
        assert [await ended(runner, id_) for id_ in (first, last)] == [State.SUCCEEDED] * 2
        assert await ended(runner, poison) is State.FAILED
    assert await owner.fetchval("SELECT dead FROM es.job WHERE id = $1", UUID(poison))
    assert await owner.fetchval("SELECT count(*) FROM es.undecodable WHERE value = '\\xff00'") == 1


@pytest.mark.parametrize("strange", [b"\x00\x01", b"\xff", None], ids=["nul", "no-text", "null"])
async def test_headers_of_strangers_are_kept_and_delay_nobody(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses, strange: bytes | None
) -> None:
    good = [await asked(api) for _ in range(4)]
    kind, value = ("ce_type", b"placewire.drive.published.v1"), os.urandom(8)
    unreadable = [[("theirs", strange)], [kind, ("ce_id", strange)], [("\0", strange)]]
    async with consuming(database_url, servers) as (runner, producer):
        for headers, job_id in zip(unreadable, good, strict=False):
            await producer.send(topics.DRIVE.name, value, key=b"one-partition", headers=headers)
            await ring(producer, job_id)
        await producer.send(
            topics.DRIVE.name, b"{}", key=b"one-partition", headers=[kind, ("ce_id", good[-1].encode()), ("x", strange)]
        )
        assert [await ended(runner, job_id) for job_id in good] == [State.SUCCEEDED] * 4
    assert {row["channel"] for row in await owner.fetch("SELECT via FROM es.job")} == {"bus"}
    kept = await owner.fetch("SELECT headers FROM es.undecodable WHERE value = $1 ORDER BY id", value)
    shown = {None: None, b"\xff": r"\xff", b"\x00\x01": "\\x00\1"}[strange]
    assert [json.loads(row["headers"]) for row in kept] == [
        {"theirs": shown}, {"ce_type": kind[1].decode(), "ce_id": shown}, {r"\x00": shown}
    ]  # fmt: skip


async def test_events_that_ask_for_nothing_pass_by(
    api: Api, database_url: str, servers: Addresses, owner: "Owner[asyncpg.Record]"
) -> None:
    marker = await asked(api)
    async with consuming(database_url, servers) as (runner, producer):
        await ring(producer, str(UUID(int=5)), "placewire.drive.created.v1")
        await ring(producer, str(UUID(int=6)))  # a job that nobody knows: long done, and expired
        await ring(producer, marker)
        assert await ended(runner, marker) is State.SUCCEEDED
    assert await owner.fetchval("SELECT count(*) FROM es.job") == 1


async def test_while_the_database_is_away_records_wait(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, servers: Addresses
) -> None:
    job_id = await asked(api)
    async with consuming(database_url, servers) as (runner, producer):
        await owner.execute("ALTER ROLE placewire_eligibility NOLOGIN")
        try:
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'placewire_eligibility'"
            )
            await ring(producer, job_id)
            await asyncio.sleep(1.5)
            assert await owner.fetchval("SELECT state FROM es.job") == "queued"
        finally:
            await owner.execute("ALTER ROLE placewire_eligibility LOGIN")
        assert await ended(runner, job_id) is State.SUCCEEDED
    assert await owner.fetchval("SELECT via FROM es.job") == "bus"
