"""A bad release stops itself after twenty dead jobs in a row, and a mended one takes up where it stopped."""

import time

import asyncpg
import httpx

from chassis.brake import BRAKE_AFTER_DEAD
from tests.e2e.test_faults import publish, settled
from tests.enrolment import enrol
from tests.eventually import eventually
from tests.system import System

Owner = asyncpg.Connection
# What a release is to a service that does not know an event: nothing in the log may stay that way.
NEWER = """
ALTER TABLE es.event DISABLE TRIGGER event_is_append_only;
UPDATE es.event SET type = replace(type, 'published.{old}', 'published.{new}') WHERE type LIKE '%drive.published%';
ALTER TABLE es.event ENABLE TRIGGER event_is_append_only;
"""
DEAD = "SELECT count(*) FROM es.job WHERE dead"


async def test_a_braked_service_alarms_takes_nothing_and_is_released_by_its_next_start(
    isolated: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 50)
    isolated.start("api")
    async with isolated.client() as client:
        for _ in range(BRAKE_AFTER_DEAD):
            await publish(client)
        await owner.execute(NEWER.format(old="v1", new="v9"))
        worker = isolated.start("eligibility", JOBS_AT_ONCE="1")

        async def braked() -> bool:
            async with httpx.AsyncClient() as looking:
                seen = (await looking.get(str(worker.url))).json()
                metrics = (await looking.get(str(worker.url).replace("readyz", "metrics"))).text
            shown = 'placewire_consumer_braked{service="eligibility"} 1.0' in metrics
            assert seen["braked"] == shown
            return shown

        await eventually(braked, within_s=30)
        assert await owner.fetchval(DEAD) == BRAKE_AFTER_DEAD

        # Nobody waits for what cannot be done: the event is safe, and the answer says so at once.
        await owner.execute(NEWER.format(old="v9", new="v1"))
        began = time.monotonic()
        later = await publish(client)
        assert later["job"]["delivery"] == "deferred"
        assert time.monotonic() - began < 5
        assert await owner.fetchval("SELECT state FROM es.job ORDER BY seq DESC LIMIT 1") == "queued"

        worker.stop()
        isolated.start("eligibility")
        assert (await settled(owner, later["job"]["id"]))["state"] == "succeeded"
        answer = await client.post("/api/dead-letters/redrive", json={"reason": "mended"})
        assert answer.json() == {"redriven": BRAKE_AFTER_DEAD, "left": 0}

        async def all_done() -> bool:
            return bool(await owner.fetchval("SELECT bool_and(state = 'succeeded') FROM es.job"))

        await eventually(all_done, within_s=30)
