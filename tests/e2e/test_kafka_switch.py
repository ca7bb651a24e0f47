"""Kafka is killed during a steady stream of publications. Publications stay fast, and the topic gets every event.

The time of a publication is compared with its time alone: the same requests over HTTP, one after the other, after the
stream has stopped. Times in job rows include waiting in the queue, so they cannot be used for this comparison.
"""

import asyncio
import statistics
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import httpx
import pytest
from rich.console import Console

from contracts import topics
from devstack.kafka import Kafka
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.system import System, running
from tests.support.topic_log import first_sights

Owner = asyncpg.Connection
STUDENTS = 1000
PER_S = 50
BEFORE_S, AWAY_S = 5, 20
ALONE = 50
# The limits of time apply to a machine that does nothing else.
SLOWEST_S = 2.0
TIMES_ALONE = 2.0
LEAST_SYNCHRONOUS = 0.95

DRIVES_EVENTS = """
SELECT stream_id, array_agg(version ORDER BY version) AS versions FROM es.event
 WHERE stream_id LIKE 'drive-%' GROUP BY stream_id
"""
JOBS = "SELECT count(*) AS all, count(*) FILTER (WHERE state = 'succeeded') AS succeeded FROM es.job"


@dataclass(frozen=True, slots=True)
class Answered:
    at: float
    took_s: float
    status: int
    body: dict[str, Any]

    @property
    def synchronous(self) -> bool:
        """Return whether the job had ended before the response, without Kafka."""
        return self.status == 200 and self.body["job"]["delivery"] == "http"


async def publication(client: httpx.AsyncClient, number: int) -> Answered:
    began = monotonic()
    body = {**DRIVE, "company_name": f"Company {number}", "auto_calc": True}
    answer = await client.post("/api/drives", json=body)
    assert answer.status_code in (200, 202), answer.text
    return Answered(began, monotonic() - began, answer.status_code, answer.json())


async def stream(client: httpx.AsyncClient, answered: list[Answered], stop: asyncio.Event) -> None:
    """Publish ``PER_S`` drives a second, regardless of earlier responses, until ``stop``."""

    async def publish_one(number: int) -> None:
        answered.append(await publication(client, number))

    sent: list[asyncio.Task[None]] = []
    due = monotonic()
    while not stop.is_set():
        sent.append(asyncio.create_task(publish_one(len(sent))))
        due += 1 / PER_S
        await asyncio.sleep(max(due - monotonic(), 0))
    await asyncio.gather(*sent)


@pytest.mark.full_only
async def test_publications_continue_while_kafka_is_killed(
    separate_kafka: Kafka, database_url: str, tmp_path: Path, owner: "Owner[asyncpg.Record]"
) -> None:
    separate_kafka.start()
    with running(database_url, separate_kafka.bootstrap_servers, tmp_path, JOB_LEASE_S="2") as system:
        await switch(system, separate_kafka, owner)


async def switch(system: System, kafka: Kafka, owner: "Owner[asyncpg.Record]") -> None:
    await enrol(owner, STUDENTS)
    system.start_all()
    await system.until_bus_is_trusted()
    answered: list[Answered] = []
    stop = asyncio.Event()
    async with system.client(limits=httpx.Limits(max_connections=200)) as client:
        load = asyncio.create_task(stream(client, answered, stop))
        await asyncio.sleep(BEFORE_S)
        killed = monotonic()
        kafka.kill()
        await system.until_bus_is("open")
        opened = monotonic()
        await asyncio.sleep(AWAY_S)
        stop.set()
        await load

        async def all_done() -> bool:
            every, succeeded = await owner.fetchrow(JOBS) or (0, 0)
            return bool(every == succeeded == len(answered))

        await eventually(all_done, within_s=60)
        alone = [await publication(client, len(answered) + number) for number in range(ALONE)]
    kafka.start()

    async def all_reported() -> bool:
        return not await owner.fetchval("SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL")

    await eventually(all_reported, within_s=60)
    expected = {row["stream_id"]: row["versions"] for row in await owner.fetch(DRIVES_EVENTS)}
    on_topic = await first_sights(kafka.bootstrap_servers, [topics.DRIVE])
    assert {stream: list(versions.values()) for stream, versions in on_topic.items()} == expected
    switch = [answer.took_s for answer in answered if killed - 1 <= answer.at <= opened + 1]
    after = [answer for answer in answered if answer.at > opened + 1]
    assert all(answer.synchronous for answer in alone)
    assert sum(answer.synchronous for answer in after) >= LEAST_SYNCHRONOUS * len(after) > 0
    own_time, median = (statistics.median(answer.took_s for answer in group) for group in (alone, after))
    Console().print(
        f"{len(answered)} publications at {PER_S}/s; slowest during the switch {max(switch):.3f} s; "
        f"afterwards median {median:.3f} s, and {own_time:.3f} s when each is alone"
    )
    assert max(switch) < SLOWEST_S
    assert median <= TIMES_ALONE * own_time
