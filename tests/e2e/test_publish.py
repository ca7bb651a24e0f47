"""A publication leads to selections through every process, and SIGTERM in the middle loses nothing."""

import asyncio
from pathlib import Path
from time import monotonic

import asyncpg

from devstack.processes import Process
from tests.support.bulk_students import DRIVE, PLAIN_COUNT, enrol
from tests.support.eventually import eventually
from tests.support.system import System


async def test_a_publication_with_kafka_selects_all_eligible_students(
    live: System, live_owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with live.client() as client:
        answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers={"Prefer": "wait=10"})
        assert answer.status_code == 200, answer.text
        job = answer.json()["job"]
        assert (job["state"], job["delivery"]) == ("succeeded", "kafka")
        assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
        assert job["result"]["selected"] == await live_owner.fetchval(PLAIN_COUNT) > 0


async def test_a_job_is_followed_live(system: System, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    await enrol(owner, 200)
    system.start("api")
    async with system.client() as client:
        answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True})
        job = answer.json()["job"]
        assert answer.status_code == 202
        states = []
        async with client.stream("GET", f"/api/jobs/{job['id']}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    states.append(line.partition('"state":"')[2].partition('"')[0])
                    if len(states) == 1:
                        system.start("eligibility", wait=False)
        assert states[0] == "queued"
        assert states[-1] == "succeeded"


async def test_sigterm_ends_every_process_and_streams_with_it(live: System) -> None:
    async with live.client() as client:
        answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers={"Prefer": "wait=5"})
        assert answer.status_code in (200, 202)
    for process in live.processes.values():
        assert b"Traceback" not in await asyncio.to_thread(log_of_stop, process)


def log_of_stop(process: Process) -> bytes:
    """Stop the process, and return what it logs meanwhile."""
    log = Path(process.log)
    size = log.stat().st_size
    process.stop(grace_s=10)
    assert not process.running
    return log.read_bytes()[size:]


async def test_sigterm_in_the_middle_of_a_job_releases_the_job_in_time(
    system: System, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A request waits for the job meanwhile. It does not delay the stop, and it gets the result of the next worker."""
    await enrol(owner, 100)
    system.start("api")
    worker = system.start("eligibility", SHUTDOWN_GRACE_S="3")
    await owner.execute("SELECT pg_advisory_lock(hashtextextended('evaluation:1', 0))")
    async with system.client() as client:
        asking = asyncio.create_task(client.post("/api/drives", json={**DRIVE, "auto_calc": True}))

        async def running() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM es.job WHERE state = 'running'"))

        await eventually(running)
        began = monotonic()
        await asyncio.to_thread(worker.stop, 15)
        assert monotonic() - began < 8
        row = await owner.fetchrow("SELECT state, attempts FROM es.job")
        assert row is not None
        assert (row["state"], row["attempts"]) == ("queued", 0)
        await owner.execute("SELECT pg_advisory_unlock_all()")
        system.start("eligibility")
        answer = await asking
    assert (answer.status_code, answer.json()["job"]["state"]) == (200, "succeeded")
    assert await owner.fetchval("SELECT attempts FROM es.job") == 1


async def test_the_api_answers_waiting_requests_on_sigterm(system: System) -> None:
    api = system.start("api")
    async with system.client() as client:
        waiting = asyncio.create_task(
            client.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers={"Prefer": "wait=30"})
        )
        await asyncio.sleep(1)
        began = monotonic()
        await asyncio.to_thread(api.stop, 15)
        assert monotonic() - began < 8
        answer = await waiting
    assert (answer.status_code, answer.json()["job"]["state"]) == (202, "queued")
