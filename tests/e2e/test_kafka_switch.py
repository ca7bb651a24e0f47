"""Kafka is killed under a steady stream of publications: who publishes hardly notices, and the topic misses nothing."""

import asyncio
import statistics
from collections import defaultdict
from dataclasses import dataclass
from time import monotonic
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer
from rich.console import Console

from contracts import topics
from devstack.kafka import Kafka
from tests.enrolment import DRIVE, enrol
from tests.eventually import eventually
from tests.sizes import sized
from tests.system import System

Owner = asyncpg.Connection
STUDENTS = 1000
PER_S = sized(small=10, full=50)
BEFORE_S, AWAY_S = sized(small=2, full=5), sized(small=7, full=20)
# The bounds hold on a machine that does nothing else; a small run only counts.
IS_MEASURED = sized(small=0, full=1)
SLOWEST_S = 2.0

DRIVES_EVENTS = """
SELECT stream_id, array_agg(version ORDER BY version) AS versions FROM es.event
 WHERE stream_id LIKE 'drive-%' GROUP BY stream_id
"""
JOBS = "SELECT count(*) AS all, count(*) FILTER (WHERE state = 'succeeded') AS succeeded FROM es.job"
OWN_TIME = "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY finished_at - queued_at) FROM es.job WHERE via = 'http'"


@dataclass(frozen=True, slots=True)
class Answered:
    at: float
    took_s: float
    body: dict[str, Any]


async def stream(client: httpx.AsyncClient, answered: list[Answered], stop: asyncio.Event) -> None:
    """``PER_S`` publications of as many drives a second, whatever becomes of those before."""

    async def one(number: int) -> None:
        began = monotonic()
        body = {**DRIVE, "company_name": f"Company {number}", "auto_calc": True}
        answer = await client.post("/api/drives", json=body)
        assert answer.status_code in (200, 202), answer.text
        answered.append(Answered(began, monotonic() - began, answer.json()))

    sent: list[asyncio.Task[None]] = []
    due = monotonic()
    while not stop.is_set():
        sent.append(asyncio.create_task(one(len(sent))))
        due += 1 / PER_S
        await asyncio.sleep(max(due - monotonic(), 0))
    await asyncio.gather(*sent)


async def on_topic(bootstrap_servers: str) -> dict[str, list[int]]:
    """By drive: the versions in the order in which the topic holds them, each at its first sight."""
    consumer = AIOKafkaConsumer(
        topics.DRIVE.name, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    seen: dict[str, list[int]] = defaultdict(list)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    headers = dict(record.headers)
                    stream, version = headers["ce_subject"].decode(), int(headers["ce_streamversion"])
                    if version not in seen[stream]:
                        seen[stream].append(version)
    finally:
        await consumer.stop()
    return seen


async def test_kafka_is_killed_under_a_stream_of_publications(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, STUDENTS)
    own_kafka.start()
    isolated.start_all()
    await isolated.until_bus_is_trusted()
    answered: list[Answered] = []
    stop = asyncio.Event()
    async with isolated.client(limits=httpx.Limits(max_connections=200)) as client:
        load = asyncio.create_task(stream(client, answered, stop))
        await asyncio.sleep(BEFORE_S)
        killed = monotonic()
        own_kafka.kill()
        await isolated.until_bus_is("open")
        opened = monotonic()
        await asyncio.sleep(AWAY_S)
        stop.set()
        await load
    own_kafka.start()

    async def all_done() -> bool:
        every, succeeded = await owner.fetchrow(JOBS) or (0, 0)
        return bool(every == succeeded == len(answered))

    await eventually(all_done, within_s=60)

    async def all_told() -> bool:
        return not await owner.fetchval("SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL")

    await eventually(all_told, within_s=60)
    expected = {row["stream_id"]: row["versions"] for row in await owner.fetch(DRIVES_EVENTS)}
    assert await on_topic(own_kafka.bootstrap_servers) == expected
    switch = [one.took_s for one in answered if killed - 1 <= one.at <= opened + 1]
    after = [one.took_s for one in answered if one.at > opened + 1]
    own_time = (await owner.fetchval(OWN_TIME)).total_seconds()
    median = statistics.median(after)
    Console().print(
        f"{len(answered)} publications at {PER_S}/s; slowest during the switch {max(switch):.3f} s; "
        f"afterwards median {median:.3f} s, of which the job {own_time:.3f} s"
    )
    if IS_MEASURED:
        assert max(switch) < SLOWEST_S
        assert median <= 2 * own_time
