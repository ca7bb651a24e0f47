"""Publish drives, and wait for the results of their jobs."""

from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer

from contracts import topics
from tests.support.bulk_students import DRIVE
from tests.support.eventually import eventually

Owner = asyncpg.Connection
AUTO = {**DRIVE, "auto_calc": True}

JOB = "SELECT state, channel, attempts, result FROM es.job WHERE id = $1"
RESULT_EVENTS = """
SELECT count(*) FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1' AND data ->> 'job_id' = $1
"""
NEXT_DRIVE = "SELECT 1 + last_value - (NOT is_called)::int FROM drive_id_seq"
# An evaluation waits while the drive's lock is held.
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


async def until_kafka_wakes(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Publish drives until a Kafka record wakes the worker for one of them. Return all published drives.

    A poll may find a job before its record arrives. This is unlikely to happen many times in a row.
    """
    published: list[dict[str, Any]] = []

    async def woken() -> bool:
        drive = await publish(client, headers={"Prefer": "wait=10"})
        published.append(drive)
        return (drive["job"]["delivery"], drive["job"]["channel"]) == ("kafka", "kafka")

    await eventually(woken)
    return published


async def on_topic(bootstrap_servers: str, event_id: str) -> int:
    """Return how many records of the event Kafka has."""
    consumer = AIOKafkaConsumer(
        topics.DRIVE.name, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        count = 0
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                count += sum(dict(record.headers).get("ce_id") == event_id.encode() for record in records)
        return count
    finally:
        await consumer.stop()
