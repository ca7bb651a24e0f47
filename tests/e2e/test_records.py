"""Repeated, reordered and unreadable Kafka records, and failing jobs, do not delay or repeat other jobs."""

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from contracts import topics
from contracts.drives import DrivePublished
from devstack.kafka import Kafka
from tests.e2e.test_failure_limit import RENAME_VERSION
from tests.support.eventually import eventually
from tests.support.publications import RESULT_EVENTS, publish, settled, until_kafka_wakes
from tests.support.system import System

Owner = asyncpg.Connection
JOBS = "SELECT count(*) FROM es.job"
TYPE = ("ce_type", DrivePublished.TYPE.encode())
ID = ("ce_id", b"01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10")
UNREADABLE: list[tuple[list[tuple[str, bytes]], bytes]] = [
    ([], b""),
    ([TYPE], b"{}"),
    ([ID], b"{}"),
    ([ID, ("ce_type", b"\xff")], b"{}"),
    ([("ce_id", b"no-uuid"), TYPE], b"{}"),
    ([ID, TYPE], b"no JSON"),
    ([ID, TYPE], b"\xff\xfe"),
    ([ID, TYPE], b'{"drive_id": "no number"}'),
    ([ID, TYPE], b"[" * 100_000),
]


async def send(kafka: Kafka, records: list[tuple[int, list[tuple[str, bytes]], bytes | None, bytes | None]]) -> None:
    """Send each record (partition, headers, key, value) to the topic of drives, in this order."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    try:
        for partition, headers, key, value in records:
            await producer.send_and_wait(topics.DRIVE.name, value, key=key, headers=headers, partition=partition)
    finally:
        await producer.stop()


async def records_of(kafka: Kafka, event_ids: list[str]) -> "list[ConsumerRecord[bytes, bytes]]":
    """Wait until each event has a record. Return the first record of each."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topics.DRIVE.name, number) for number in range(topics.DRIVE.partitions)])
        by_id: dict[bytes | None, ConsumerRecord[bytes, bytes]] = {}
        wanted = [id_.encode() for id_ in event_ids]  # compared as bytes, because ids of other tests may not be text

        async def all_received() -> bool:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                by_id.update({dict(record.headers).get("ce_id"): record for record in reversed(records)})
            return by_id.keys() >= set(wanted)

        await eventually(all_received)
    finally:
        await consumer.stop()
    return [by_id[event_id] for event_id in wanted]


async def counted(url: str) -> int:
    """Return how many records the eligibility service could not read."""
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(url.replace("readyz", "metrics"))).text
    name = f'placewire_unreadable_records_total{{service="eligibility",topic="{topics.DRIVE.name}"}}'
    return sum(int(float(line.split()[-1])) for line in metrics.splitlines() if line.startswith(name))


async def test_unreadable_records_are_counted_and_logged_and_block_no_partition(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]"
) -> None:
    jobs = await live_owner.fetchval(JOBS)
    partitions = range(topics.DRIVE.partitions)
    worker = live.processes["eligibility"]
    before = await counted(str(worker.url))
    await send(own_kafka, [(part, headers, None, value) for part in partitions for headers, value in UNREADABLE])

    async def all_counted() -> bool:
        return await counted(str(worker.url)) - before == len(UNREADABLE) * len(partitions)

    await eventually(all_counted)
    log = worker.log_tail()
    assert all(word in log for word in ("record.unreadable", "placewire.drive", "partition", "offset"))
    assert "no JSON" not in log
    async with live.client() as client:
        drives = await until_kafka_wakes(client)
    for drive in drives:
        job = await settled(live_owner, drive["job"]["id"])
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert await live_owner.fetchval(JOBS) - jobs == len(drives)
    assert worker.running


async def test_repeated_and_reordered_records_run_each_job_once(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]"
) -> None:
    jobs = await live_owner.fetchval(JOBS)
    worker = live.processes["eligibility"]
    async with live.client() as client:
        worker.suspend()
        drive = await publish(client)
        trigger = f"/api/drives/{drive['drive_id']}/trigger-eligibility"
        ids = [drive["job"]["id"], (await client.post(trigger)).json()["job"]["id"]]
        records = await records_of(own_kafka, ids)
        repeated = [*reversed(records), *records, *reversed(records)]
        await send(own_kafka, [(each.partition, list(each.headers), each.key, each.value) for each in repeated])
        worker.resume()
        await live.until_bus_is_trusted()

        async def later_record_is_handled() -> bool:
            # A record of the same drive is in the same partition. Repeated, because a poll may be faster than Kafka.
            evaluated = (await client.post(trigger, headers={"Prefer": "wait=10"})).json()
            ids.append(evaluated["job"]["id"])
            return bool(evaluated["job"]["channel"] == "kafka")

        await eventually(later_record_is_handled, within_s=60)
    for job_id in ids:
        job = await settled(live_owner, job_id)
        assert (job["state"], job["attempts"] <= 1) == ("succeeded", True)
        assert await live_owner.fetchval(RESULT_EVENTS, job_id) <= 1
    assert await live_owner.fetchval(RESULT_EVENTS, ids[-1]) == 1
    assert await live_owner.fetchval(JOBS) - jobs == len(ids)


async def test_a_job_that_cannot_run_fails_with_its_reason_and_blocks_no_other(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]"
) -> None:
    live.processes["eligibility"].stop()
    async with live.client() as client:
        poison = await publish(client)
        await live_owner.execute(RENAME_VERSION.format(old="v1", new="v9"))
        live.start("eligibility")
        dead = await settled(live_owner, poison["job"]["id"])
        await live_owner.execute(RENAME_VERSION.format(old="v9", new="v1"))
        job = (await client.get(f"/api/jobs/{poison['job']['id']}")).json()
        assert (dead["state"], job["dead_lettered"]) == ("failed", True)
        assert job["error"] == "this release cannot read the event: it was written by a newer one"
        trigger = f"/api/drives/{poison['drive_id']}/trigger-eligibility"
        assert (await client.post(trigger, headers={"Prefer": "wait=10"})).json()["job"]["state"] == "succeeded"
        await live.until_bus_is_trusted()
        others = await until_kafka_wakes(client)
    for drive in others:
        assert (await settled(live_owner, drive["job"]["id"]))["state"] == "succeeded"
