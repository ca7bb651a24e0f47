"""A bad release pauses after twenty failures in a row, tries one job at a time, and resumes when one succeeds."""

import time

import asyncpg
import httpx

from chassis.jobs.failure_limit import MAX_FAILURES_IN_A_ROW
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.publications import publish, settled
from tests.support.system import System

Owner = asyncpg.Connection
# What a release is to a service that does not know an event: nothing in the log may stay that way.
NEWER = """
ALTER TABLE es.event DISABLE TRIGGER event_is_append_only;
UPDATE es.event SET type = replace(type, 'published.{old}', 'published.{new}') WHERE type LIKE '%drive.published%';
ALTER TABLE es.event ENABLE TRIGGER event_is_append_only;
"""
DEAD = "SELECT count(*) FROM es.job WHERE dead"
RETRY_S = 3


async def paused(url: str) -> bool:
    """Return what health and metrics both say. They are asked one after the other."""
    async with httpx.AsyncClient() as looking:
        while True:
            seen: bool = (await looking.get(url)).json()["paused"]
            metrics = (await looking.get(url.replace("readyz", "metrics"))).text
            if seen == ('placewire_consumer_paused{service="eligibility"} 1.0' in metrics):
                return seen


async def test_a_paused_service_alarms_claims_nothing_and_resumes_without_a_restart(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    """Kafka is away all the time, and the API's requests to a paused worker are refused with 503."""
    await enrol(owner, 50)
    system.start("api")
    async with system.client() as client:
        for _ in range(MAX_FAILURES_IN_A_ROW):
            await publish(client)
        await owner.execute(NEWER.format(old="v1", new="v9"))
        worker = system.start("eligibility", JOBS_AT_ONCE="1", PAUSED_RETRY_S=str(RETRY_S))
        await eventually(lambda: paused(str(worker.url)), within_s=60)
        assert await owner.fetchval(DEAD) == MAX_FAILURES_IN_A_ROW

        # The answer comes at once: nobody waits for what is not done before the next retry.
        later = [await publish(client)]
        began = time.monotonic()
        await owner.execute(NEWER.format(old="v9", new="v1"))
        later.append(await publish(client))
        assert time.monotonic() - began < RETRY_S
        assert {answer["job"]["delivery"] for answer in later} == {"poll"}

        # The same process, and no command of anybody's.
        assert [(await settled(owner, answer["job"]["id"]))["state"] for answer in later] == ["succeeded"] * 2
        assert not await paused(str(worker.url))
        assert worker.running
        answer = await client.post("/api/dead-letters/redrive", json={"reason": "fixed"})
        assert answer.json() == {"redriven": MAX_FAILURES_IN_A_ROW, "left": 0}

        async def all_done() -> bool:
            return bool(await owner.fetchval("SELECT bool_and(state = 'succeeded') FROM es.job"))

        await eventually(all_done, within_s=60)
