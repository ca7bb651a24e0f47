"""Kill Kafka, the relay and the API with SIGKILL: no eligibility job is lost, and none is done twice."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from devstack.kafka import Kafka
from tests.support.bulk_students import PLAIN_COUNT, enrol
from tests.support.eventually import eventually
from tests.support.publications import (
    AUTO,
    HOLD_EVALUATION,
    LET_GO,
    NEXT_DRIVE,
    RESULT_EVENTS,
    job_in,
    on_topic,
    publish,
    settled,
    until_kafka_wakes,
)
from tests.support.sizes import sized
from tests.support.system import System

Owner = asyncpg.Connection
PUBLISHES = sized(small=40, full=400)


async def test_relay_killed_between_send_and_delete_sends_twice_and_the_job_runs_once(
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
    async with isolated.client() as client:
        await until_kafka_wakes(client)  # records after the second one are handled
    assert (await job_in(owner, job_id))["attempts"] == 1
    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1


async def test_api_killed_after_commit_loses_nothing_and_the_key_gives_the_same_drive(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start_all()  # no Kafka: the API waits for the end of the job after it has committed
    await owner.execute(HOLD_EVALUATION, await owner.fetchval(NEXT_DRIVE))
    key = {"Idempotency-Key": "once"}
    async with isolated.client() as client:
        asking = asyncio.create_task(publish(client, headers=key))

        async def committed() -> str | None:
            found: str | None = await owner.fetchval("SELECT id::text FROM es.job")
            return found

        job_id = await eventually(committed)
        isolated.processes["api"].kill()
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], httpx.HTTPError)
    await owner.execute(LET_GO)
    assert (await settled(owner, str(job_id)))["state"] == "succeeded"
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
    isolated.start("api", FAILPOINT="after-commit")
    key = {"Idempotency-Key": "once"}
    async with isolated.client() as client:
        with pytest.raises(httpx.TransportError):
            await publish(client, headers=key)

    async def dead() -> bool:
        return not isolated.processes["api"].running

    await eventually(dead)
    assert await owner.fetchval("SELECT state FROM es.job") == "queued"
    isolated.start("eligibility")
    job_id = await owner.fetchval("SELECT id::text FROM es.job")
    assert (await settled(owner, job_id))["state"] == "succeeded"
    isolated.start("api")
    async with isolated.client() as client:
        first = await publish(client, headers=key)
        again = await publish(client, headers=key)
    assert first == again
    assert (first["job"]["id"], first["job"]["state"]) == (job_id, "succeeded")
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval(RESULT_EVENTS, first["job"]["id"]) == 1


async def test_kafka_absent_at_start_is_done_by_http_and_the_event_reaches_kafka_later(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start_all()
    async with isolated.client() as client:
        drive = await publish(client)
        assert (drive["job"]["state"], drive["job"]["delivery"]) == ("succeeded", "http")
        own_kafka.start()
        await isolated.until_bus_is("closed", within_s=20)

        async def sent() -> int:
            return await on_topic(own_kafka.bootstrap_servers, drive["job"]["id"])

        assert await eventually(sent) == 1
        await until_kafka_wakes(client)
    assert await owner.fetchval(RESULT_EVENTS, drive["job"]["id"]) == 1


async def test_worker_and_kafka_away_leave_the_job_queued_until_a_replica_starts(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start("api")
    async with isolated.client() as client:
        answer = await client.post("/api/drives", json=AUTO)
        assert answer.status_code == 202, answer.text
        drive = answer.json()
        assert answer.headers["Location"] == f"/api/jobs/{drive['job']['id']}"
    assert (drive["job"]["delivery"], drive["job"]["state"]) == ("poll", "queued")
    isolated.start("eligibility")
    job = await settled(owner, drive["job"]["id"])
    assert (job["state"], job["channel"], job["attempts"]) == ("succeeded", "poll", 1)


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
        # Before the breaker opens the answer is 202, then 200 with the result.
        assert {drive["job"]["delivery"] for drive in answered} <= {"kafka", "http"}
        answered.append(await publish(client))
        assert (answered[-1]["job"]["delivery"], answered[-1]["job"]["state"]) == ("http", "succeeded")
        own_kafka.start()
        await isolated.until_bus_is("closed", within_s=30)
        answered += await until_kafka_wakes(client)
    for drive in answered:
        assert (await settled(owner, drive["job"]["id"]))["state"] == "succeeded"
        assert await owner.fetchval(RESULT_EVENTS, drive["job"]["id"]) == 1
    assert await owner.fetchval("SELECT count(*) FROM drives") == len(answered)
    expected = await owner.fetchval(PLAIN_COUNT) * len(answered)
    assert await owner.fetchval("SELECT count(*) FROM selections") == expected
    for drive in (answered[0], answered[-1]):
        assert await on_topic(own_kafka.bootstrap_servers, drive["job"]["id"]) >= 1
