"""From HTTP to selections, through every process."""

import asyncpg

from tests.enrolment import DRIVE, PLAIN_COUNT, enrol
from tests.system import System


async def test_a_drive_published_over_the_bus_selects_everyone_eligible(
    system: System, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await enrol(owner, 1000)
    system.start_all()
    await system.until_bus_is_trusted()
    async with system.client() as client:
        answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers={"Prefer": "wait=10"})
        assert answer.status_code == 200, answer.text
        job = answer.json()["job"]
        assert (job["state"], job["via"], job["delivery"]) == ("succeeded", "bus", "bus")
        assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
        assert job["result"]["selected"] == await owner.fetchval(PLAIN_COUNT) > 0


async def test_a_job_is_followed_live(system: System, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    await enrol(owner, 200)
    system.start("api")
    system.start("relay")
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


async def test_sigterm_ends_every_process_and_streams_with_it(system: System) -> None:
    system.start_all()
    async with system.client() as client:
        answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers={"Prefer": "wait=5"})
        assert answer.status_code in (200, 202)
    for process in system.processes.values():
        process.stop(grace_s=10)
        assert not process.running
        assert "Traceback" not in process.log_tail()
