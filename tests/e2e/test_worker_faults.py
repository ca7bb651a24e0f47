"""Workers are killed and suspended in the middle of a job. The job runs again once, and delays no other job."""

import asyncio

import asyncpg
import pytest

from tests.support.bulk_students import PLAIN_COUNT, enrol
from tests.support.eventually import eventually
from tests.support.publications import HOLD_EVALUATION, LET_GO, NEXT_DRIVE, RESULT_EVENTS, publish, settled
from tests.support.system import System

Owner = asyncpg.Connection
# The lease of a worker that is killed. It is much longer than other jobs may take.
LONG_LEASE_S = 60
EXPIRE = "UPDATE es.job SET lease_until = '-infinity' WHERE id = $1"
RUNNING = "SELECT id::text FROM es.job WHERE state = 'running'"
IS_LEASED = "SELECT state = 'running' AND lease_until > clock_timestamp() FROM es.job WHERE id = $1"
HOLDER = "SELECT split_part(owner, ':', 2)::integer FROM es.job WHERE id = $1 AND state = 'running'"


async def test_worker_killed_midway_runs_again_and_has_one_effect(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 500)
    system.start_together("api", "eligibility")
    drive_id = await owner.fetchval(NEXT_DRIVE)
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with system.client() as client:
        asking = asyncio.create_task(publish(client))
        job_id = await eventually(lambda: owner.fetchval(RUNNING))
        system.processes["eligibility"].kill()
        await owner.execute(LET_GO)
        system.start("eligibility")
        job = await settled(owner, job_id)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        drive = await asking
    assert (drive["drive_id"], drive["job"]["id"]) == (drive_id, job_id)
    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1
    assert await owner.fetchval(
        "SELECT count(*) FROM selections WHERE drive_id = $1", drive_id
    ) == await owner.fetchval(PLAIN_COUNT)


@pytest.mark.full_only
@pytest.mark.timeout(240)
async def test_a_killed_workers_lease_delays_no_other_job(system: System, owner: "Owner[asyncpg.Record]") -> None:
    """The second replica runs jobs of other drives and another job of the same drive meanwhile."""
    await enrol(owner, 300)
    system.settings |= {"JOB_LEASE_S": str(LONG_LEASE_S), "JOBS_AT_ONCE": "1"}
    system.start_together("api", "eligibility", "eligibility2")
    drive_id = await owner.fetchval(NEXT_DRIVE)
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with system.client() as client:
        asking = asyncio.create_task(publish(client))
        held = await eventually(lambda: owner.fetchval(RUNNING))
        port = await eventually(lambda: owner.fetchval(HOLDER, held))
        [killed] = [name for name in ("eligibility", "eligibility2") if system.ports[name] == port]
        system.processes[killed].kill()
        await owner.execute(LET_GO)
        others = [(await publish(client))["job"]["id"] for _ in range(3)]
        same = await client.post(f"/api/drives/{drive_id}/trigger-eligibility")
        others.append(same.json()["job"]["id"])
        for job_id in others:
            job = await settled(owner, job_id)
            assert (job["state"], job["attempts"]) == ("succeeded", 1)
        assert await owner.fetchval(IS_LEASED, held), (
            "the lease expired before the other jobs had ended, so this proves nothing"
        )
        await owner.execute(EXPIRE, held)
        assert (await asking)["job"]["id"] == held
    job = await settled(owner, held)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    # A newer evaluation of the drive has already run, so the older one changes nothing.
    assert job["result"] == '{"superseded": true}'
    assert await owner.fetchval(RESULT_EVENTS, held) == 0
    assert await owner.fetchval(RESULT_EVENTS, others[-1]) == 1


async def test_a_suspended_worker_whose_lease_has_expired_commits_nothing(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    system.start_together("api", "eligibility")
    drive_id = await owner.fetchval(NEXT_DRIVE)
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with system.client() as client:
        asking = asyncio.create_task(publish(client))
        job_id = await eventually(lambda: owner.fetchval(RUNNING))
        system.processes["eligibility"].suspend()
        system.start("eligibility2")
        await owner.execute(LET_GO)
        job = await settled(owner, job_id)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        system.processes["eligibility"].resume()

        async def fenced() -> bool:
            return "job.lost" in system.processes["eligibility"].log_tail()

        await eventually(fenced)
        await asking
    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1
