"""Kill Kafka, the relay and the API with SIGKILL: no eligibility job is lost, and none runs twice."""

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
from tests.support.system import CONSUMERS, System

Owner = asyncpg.Connection
PUBLISHES = sized(small=40, full=400)


async def test_relay_killed_between_send_and_delete_sends_twice_and_the_job_runs_once(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]"
) -> None:
    relay = live.processes["relay"]
    relay.suspend()
    async with live.client() as client:
        drive = await publish(client)
    job_id = drive["job"]["id"]
    holder = await asyncpg.connect(live.database_url)
    async with holder.transaction():
        # The relay can read and send the row, but its DELETE waits for this lock.
        await holder.execute("SELECT FROM es.outbox WHERE event_id IS NOT NULL FOR UPDATE")
        relay.resume()

        async def sent() -> int:
            return await on_topic(own_kafka.bootstrap_servers, job_id)

        assert await eventually(sent) == 1
        relay.kill()
        # The server already has the DELETE, and would complete it although the client is dead.
        await live_owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", "placewire-relay"
        )
    await holder.close()
    assert (await settled(live_owner, job_id))["state"] == "succeeded"
    live.start("relay")

    async def outbox_is_empty() -> bool:
        return not await live_owner.fetchval("SELECT count(*) FROM es.outbox WHERE event_id = $1", job_id)

    await eventually(outbox_is_empty)
    assert await on_topic(own_kafka.bootstrap_servers, job_id) == 2
    async with live.client() as client:
        await until_kafka_wakes(client)  # records after the second one are handled
    assert (await job_in(live_owner, job_id))["attempts"] == 1
    assert await live_owner.fetchval(RESULT_EVENTS, job_id) == 1


async def test_api_killed_after_commit_loses_nothing_and_the_key_gives_the_same_drive(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    system.start_together("api", "eligibility")  # after the commit, the API waits for the end of the job
    await owner.execute(HOLD_EVALUATION, await owner.fetchval(NEXT_DRIVE))
    key = {"Idempotency-Key": "once"}
    async with system.client() as client:
        asking = asyncio.create_task(publish(client, headers=key))

        async def committed() -> str | None:
            id_: str | None = await owner.fetchval("SELECT id::text FROM es.job")
            return id_

        job_id = await eventually(committed)
        system.processes["api"].kill()
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], httpx.HTTPError)
    await owner.execute(LET_GO)
    assert (await settled(owner, str(job_id)))["state"] == "succeeded"
    system.start("api")
    async with system.client() as client:
        second = await publish(client, headers=key)
        third = await publish(client, headers=key)
    assert second["job"]["id"] == job_id
    assert second == third
    assert second["job"]["state"] == "succeeded"
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval(RESULT_EVENTS, str(job_id)) == 1


async def test_api_killed_between_commit_and_answer_loses_nothing_and_the_retry_has_the_answer(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    system.start("api", FAILPOINT="after-commit")
    key = {"Idempotency-Key": "once"}
    async with system.client() as client:
        with pytest.raises(httpx.TransportError):
            await publish(client, headers=key)

    async def dead() -> bool:
        return not system.processes["api"].running

    await eventually(dead)
    assert await owner.fetchval("SELECT state FROM es.job") == "queued"
    system.start("eligibility")
    job_id = await owner.fetchval("SELECT id::text FROM es.job")
    assert (await settled(owner, job_id))["state"] == "succeeded"
    system.start("api")
    async with system.client() as client:
        first = await publish(client, headers=key)
        again = await publish(client, headers=key)
    assert first == again
    assert (first["job"]["id"], first["job"]["state"]) == (job_id, "succeeded")
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval(RESULT_EVENTS, first["job"]["id"]) == 1


async def test_worker_and_kafka_away_leave_the_job_queued_until_a_replica_starts(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    system.start("api")
    async with system.client() as client:
        answer = await client.post("/api/drives", json=AUTO)
        assert answer.status_code == 202, answer.text
        drive = answer.json()
        assert answer.headers["Location"] == f"/api/jobs/{drive['job']['id']}"
    assert (drive["job"]["delivery"], drive["job"]["state"]) == ("poll", "queued")
    system.start("eligibility")
    job = await settled(owner, drive["job"]["id"])
    assert (job["state"], job["channel"], job["attempts"]) == ("succeeded", "poll", 1)


@pytest.mark.full_only
async def test_kafka_killed_under_load_loses_and_doubles_nothing(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]"
) -> None:
    pids = {name: process.pid for name, process in live.processes.items()}
    drives = await live_owner.fetchval("SELECT count(*) FROM drives")
    selections = await live_owner.fetchval("SELECT count(*) FROM selections")
    answered: list[dict[str, Any]] = []
    async with live.client() as client:
        slots = asyncio.Semaphore(4)

        async def publish_one() -> None:
            async with slots:
                answered.append(await publish(client))

        load = [asyncio.create_task(publish_one()) for _ in range(PUBLISHES)]
        await asyncio.sleep(0.3)
        own_kafka.kill()
        await asyncio.gather(*load)
        await live.until_bus_is("open")
        # The response is 202 before the breaker opens, and then 200 with the result.
        assert {drive["job"]["delivery"] for drive in answered} <= {"kafka", "http"}
        answered.append(await publish(client))
        assert (answered[-1]["job"]["delivery"], answered[-1]["job"]["state"]) == ("http", "succeeded")
        own_kafka.start()
        await live.until_bus_is("closed", *CONSUMERS)
        answered += await until_kafka_wakes(client)
    for drive in answered:
        assert (await settled(live_owner, drive["job"]["id"]))["state"] == "succeeded"
        assert await live_owner.fetchval(RESULT_EVENTS, drive["job"]["id"]) == 1
    assert await live_owner.fetchval("SELECT count(*) FROM drives") - drives == len(answered)
    expected = await live_owner.fetchval(PLAIN_COUNT) * len(answered)
    assert await live_owner.fetchval("SELECT count(*) FROM selections") - selections == expected
    assert {name: process.pid for name, process in live.processes.items() if process.running} == pids
    for drive in (answered[0], answered[-1]):
        assert await on_topic(own_kafka.bootstrap_servers, drive["job"]["id"]) >= 1
