"""A worker pauses after twenty failures in a row, then tries single jobs, and resumes when one succeeds."""

import time

import asyncpg
import httpx

from chassis.jobs.failure_limit import MAX_FAILURES_IN_A_ROW
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.publications import publish, settled
from tests.support.system import System

Owner = asyncpg.Connection
# Simulates events of a newer release, which the service does not know. The test must undo this.
RENAME_VERSION = """
ALTER TABLE es.event DISABLE TRIGGER event_is_append_only;
UPDATE es.event SET type = replace(type, 'published.{old}', 'published.{new}') WHERE type LIKE '%drive.published%';
ALTER TABLE es.event ENABLE TRIGGER event_is_append_only;
"""
DEAD = "SELECT count(*) FROM es.job WHERE dead_lettered"
RETRY_S = 3


async def paused(url: str) -> bool:
    """Return whether the worker is paused. Repeats until health and metrics agree, because these are two requests."""
    async with httpx.AsyncClient() as client:
        while True:
            paused: bool = (await client.get(url)).json()["paused"]
            metrics = (await client.get(url.replace("readyz", "metrics"))).text
            if paused == ('placewire_consumer_paused{service="eligibility"} 1.0' in metrics):
                return paused


async def test_a_paused_worker_reports_it_claims_nothing_and_resumes_without_a_restart(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    """Kafka is down during the test, and a paused worker answers the API's requests with 503."""
    await enrol(owner, 50)
    system.start("api")
    async with system.client() as client:
        for _ in range(MAX_FAILURES_IN_A_ROW):
            await publish(client)
        await owner.execute(RENAME_VERSION.format(old="v1", new="v9"))
        worker = system.start("eligibility", JOBS_AT_ONCE="1", PAUSED_RETRY_S=str(RETRY_S))
        await eventually(lambda: paused(str(worker.url)), within_s=60)
        assert await owner.fetchval(DEAD) == MAX_FAILURES_IN_A_ROW

        # The API answers at once and does not wait for the next retry of the worker.
        later = [await publish(client)]
        began = time.monotonic()
        await owner.execute(RENAME_VERSION.format(old="v9", new="v1"))
        later.append(await publish(client))
        assert time.monotonic() - began < RETRY_S
        assert {answer["job"]["delivery"] for answer in later} == {"poll"}

        # The same process resumes without any command.
        assert [(await settled(owner, answer["job"]["id"]))["state"] for answer in later] == ["succeeded"] * 2
        assert not await paused(str(worker.url))
        assert worker.running
        answer = await client.post("/api/dead-letters/redrive", json={"reason": "fixed"})
        assert answer.json() == {"redriven": MAX_FAILURES_IN_A_ROW, "left": 0}

        async def all_done() -> bool:
            return bool(await owner.fetchval("SELECT bool_and(state = 'succeeded') FROM es.job"))

        await eventually(all_done, within_s=60)
