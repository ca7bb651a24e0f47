"""Kills, for the eligibility job: nothing lost, nothing twice. Each test really does what its name says."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from contracts import topics
from devstack.kafka import Kafka
from tests.enrolment import DRIVE, PLAIN_COUNT, enrol
from tests.eventually import eventually
from tests.sizes import sized
from tests.system import System

Owner = asyncpg.Connection
PUBLISHES = sized(small=40, full=400)
AUTO = {**DRIVE, "auto_calc": True}

JOB = "SELECT state, via, attempts, result FROM es.job WHERE id = $1"
RESULT_EVENTS = """
SELECT count(*) FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1' AND data ->> 'job_id' = $1
"""
HOLD_EVALUATION = "SELECT pg_advisory_lock(hashtextextended('evaluation:' || $1::integer, 0))"
LET_GO = "SELECT pg_advisory_unlock_all()"


async def publish(client: httpx.AsyncClient, **options: Any) -> dict[str, Any]:
    answer = await client.post("/api/drives", json=AUTO, **options)
    assert answer.status_code in (200, 202), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def job_in(owner: "Owner[asyncpg.Record]", job_id: str) -> asyncpg.Record:
    row = await owner.fetchrow(JOB, job_id)
    assert row is not None
    return row


async def settled(owner: "Owner[asyncpg.Record]", job_id: str, *, within_s: float = 30) -> asyncpg.Record:
    async def ended() -> asyncpg.Record | None:
        row = await job_in(owner, job_id)
        return row if row["state"] in ("succeeded", "failed") else None

    row = await eventually(ended, within_s=within_s)
    assert row is not None
    return row


async def on_topic(bootstrap_servers: str, event_id: str) -> int:
    """How often Kafka holds the event."""
    consumer = AIOKafkaConsumer(
        topics.DRIVE.name, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found = 0
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += sum(dict(record.headers).get("ce_id") == event_id.encode() for record in records)
        return found
    finally:
        await consumer.stop()


async def test_worker_killed_midway_runs_again_and_has_one_effect(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 500)
    own_kafka.start()
    isolated.start_all()
    await isolated.until_bus_is_trusted()
    drive_id = 1 + await owner.fetchval("SELECT last_value - (NOT is_called)::int FROM drive_id_seq")
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with isolated.client() as client:
        drive = await publish(client)
    assert drive["drive_id"] == drive_id
    job_id = drive["job"]["id"]

    async def running() -> bool:
        return bool((await job_in(owner, job_id))["state"] == "running")

    await eventually(running)
    isolated.processes["eligibility"].kill()
    await owner.execute(LET_GO)
    isolated.start("eligibility")
    job = await settled(owner, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1
    assert await owner.fetchval(
        "SELECT count(*) FROM selections WHERE drive_id = $1", drive_id
    ) == await owner.fetchval(PLAIN_COUNT)


async def test_a_suspended_worker_that_wakes_after_its_lease_commits_nothing(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start_all()  # no bus: the job comes by HTTP
    drive_id = 1 + await owner.fetchval("SELECT last_value - (NOT is_called)::int FROM drive_id_seq")
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with isolated.client() as client:
        asking = asyncio.create_task(publish(client))

        async def job_running() -> str | None:
            found: str | None = await owner.fetchval("SELECT id::text FROM es.job WHERE state = 'running'")
            return found

        job_id = await eventually(job_running)
        isolated.processes["eligibility"].suspend()
        isolated.start("eligibility2")
        await owner.execute(LET_GO)
        job = await settled(owner, str(job_id))
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        isolated.processes["eligibility"].resume()

        async def told() -> bool:
            return "job.lost" in isolated.processes["eligibility"].log_tail()

        await eventually(told)
        await asking
    assert await owner.fetchval(RESULT_EVENTS, str(job_id)) == 1


async def test_relay_killed_between_send_and_delete_sends_twice_and_nobody_notices(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 300)
    own_kafka.start()
    isolated.start_all()
    await isolated.until_bus_is_trusted()
    relay = isolated.processes["relay"]
    relay.suspend()
    async with isolated.client() as client:
        drive = await publish(client)
    job_id = drive["job"]["id"]
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        # The relay can read the row and send it, and then waits here with its DELETE.
        await holder.execute("SELECT FROM es.outbox WHERE event_id IS NOT NULL FOR UPDATE")
        relay.resume()

        async def sent() -> int:
            return await on_topic(own_kafka.bootstrap_servers, job_id)

        assert await eventually(sent) == 1
        relay.kill()
        # Its statement is with the server already, which would finish it for a client that is gone.
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", "placewire-relay"
        )
    await holder.close()
    assert (await settled(owner, job_id))["state"] == "succeeded"
    isolated.start("relay")

    async def outbox_is_empty() -> bool:
        return not await owner.fetchval("SELECT count(*) FROM es.outbox WHERE event_id = $1", job_id)

    await eventually(outbox_is_empty)
    assert await on_topic(own_kafka.bootstrap_servers, job_id) == 2
    await isolated.until_bus_is_trusted()  # the canary behind it has been handled, so the second one has
    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1


async def test_api_killed_after_commit_loses_nothing_and_the_key_gives_the_same_drive(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start_all()  # no bus: the API waits for the worker's answer after it has committed
    isolated.processes["eligibility"].suspend()
    key = {"Idempotency-Key": "once"}
    async with isolated.client() as client:
        asking = asyncio.create_task(publish(client, headers=key))

        async def committed() -> str | None:
            found: str | None = await owner.fetchval("SELECT id::text FROM es.job")
            return found

        job_id = await eventually(committed)
        isolated.processes["api"].kill()
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], httpx.HTTPError)
    isolated.processes["eligibility"].resume()
    isolated.start("api")
    async with isolated.client() as client:
        again = await publish(client, headers=key)
        once_more = await publish(client, headers=key)
    assert again["job"]["id"] == job_id
    assert again == once_more
    assert again["job"]["state"] == "succeeded"
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval(RESULT_EVENTS, str(job_id)) == 1


async def test_api_killed_between_commit_and_answer_loses_nothing_and_the_retry_has_the_answer(
    isolated: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start("eligibility")
    isolated.start("api", FAILPOINT="after-commit")
    key = {"Idempotency-Key": "once"}
    async with isolated.client() as client:
        with pytest.raises(httpx.TransportError):
            await publish(client, headers=key)

    async def dead() -> bool:
        return not isolated.processes["api"].running

    await eventually(dead)
    assert await owner.fetchval("SELECT state FROM es.job") == "queued"
    isolated.start("api")
    async with isolated.client() as client:
        first = await publish(client, headers=key)
        again = await publish(client, headers=key)
    assert first == again
    assert first["job"]["state"] == "succeeded"
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval(RESULT_EVENTS, first["job"]["id"]) == 1


async def test_kafka_absent_at_start_is_done_by_http_and_told_later(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start_all()
    async with isolated.client() as client:
        drive = await publish(client)
        assert (drive["job"]["state"], drive["job"]["channel"], drive["job"]["delivery"]) == (
            "succeeded",
            "http",
            "http",
        )
        own_kafka.start()
        await isolated.until_bus_is("closed", within_s=20)

        async def told() -> int:
            return await on_topic(own_kafka.bootstrap_servers, drive["job"]["id"])

        assert await eventually(told) == 1
        second = await publish(client, headers={"Prefer": "wait=10"})
        assert second["job"]["channel"] == "bus"
    assert await owner.fetchval(RESULT_EVENTS, drive["job"]["id"]) == 1


async def test_worker_and_bus_away_defers_and_the_sweep_brings_it(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start("api")
    async with isolated.client() as client:
        drive = await publish(client)
    assert drive["job"]["delivery"] == "deferred"
    assert drive["job"]["state"] == "queued"
    isolated.start("eligibility")
    job = await settled(owner, drive["job"]["id"])
    assert (job["state"], job["channel"]) == ("succeeded", "sweep")


async def test_kafka_killed_under_load_loses_and_doubles_nothing(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 500)
    own_kafka.start()
    isolated.start_all()
    await isolated.until_bus_is_trusted()
    answered: list[dict[str, Any]] = []
    async with isolated.client() as client:
        slots = asyncio.Semaphore(4)

        async def one() -> None:
            async with slots:
                answered.append(await publish(client))

        load = [asyncio.create_task(one()) for _ in range(PUBLISHES)]
        await asyncio.sleep(0.3)
        own_kafka.kill()
        await asyncio.gather(*load)
        await isolated.until_bus_is("open")
        answered.append(await publish(client))
        assert answered[-1]["job"]["channel"] == "http"
        own_kafka.start()
        await isolated.until_bus_is("closed", within_s=30)
        answered.append(await publish(client, headers={"Prefer": "wait=10"}))
        assert answered[-1]["job"]["channel"] == "bus"
    for drive in answered:
        assert (await settled(owner, drive["job"]["id"]))["state"] == "succeeded"
        assert await owner.fetchval(RESULT_EVENTS, drive["job"]["id"]) == 1
    assert await owner.fetchval("SELECT count(*) FROM drives") == len(answered)
    expected = await owner.fetchval(PLAIN_COUNT) * len(answered)
    assert await owner.fetchval("SELECT count(*) FROM selections") == expected
    for drive in (answered[0], answered[-1]):
        assert await on_topic(own_kafka.bootstrap_servers, drive["job"]["id"]) >= 1
