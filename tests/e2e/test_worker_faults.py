"""Kill and suspend workers in the middle of a job: it runs again, has one effect, and delays no other job."""

import asyncio

import asyncpg
import pytest

from devstack.kafka import Kafka
from tests.support.bulk_students import PLAIN_COUNT, enrol
from tests.support.eventually import eventually
from tests.support.publications import HOLD_EVALUATION, LET_GO, NEXT_DRIVE, RESULT_EVENTS, job_in, publish, settled
from tests.support.system import System

Owner = asyncpg.Connection
# Of a worker that is killed: far longer than other jobs may take.
LONG_LEASE_S = 15
IS_LEASED = "SELECT state = 'running' AND lease_until > clock_timestamp() FROM es.job WHERE id = $1"
HOLDER = "SELECT split_part(owner, ':', 2)::integer FROM es.job WHERE id = $1 AND state = 'running'"


async def test_worker_killed_midway_runs_again_and_has_one_effect(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 500)
    own_kafka.start()
    isolated.start_all()
    await isolated.until_bus_is_trusted()
    drive_id = await owner.fetchval(NEXT_DRIVE)
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with isolated.client() as client:
        drive = await publish(client)
    assert drive["drive_id"] == drive_id
    job_id = drive["job"]["id"]

    async def running() -> bool:
        return bool((await job_in(owner, job_id))["state"] == "running")

    await eventually(running)
    isolated.processes["eligibility"].kill()
    await owner.execute(LET_GO)
    isolated.start("eligibility")
    job = await settled(owner, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert await owner.fetchval(RESULT_EVENTS, job_id) == 1
    assert await owner.fetchval(
        "SELECT count(*) FROM selections WHERE drive_id = $1", drive_id
    ) == await owner.fetchval(PLAIN_COUNT)


@pytest.mark.timeout(240)
async def test_a_killed_workers_lease_delays_no_other_job(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    """Neither jobs of other drives nor another one of the same drive: the second replica does them meanwhile."""
    await enrol(owner, 300)
    own_kafka.start()
    isolated.settings |= {"JOB_LEASE_S": str(LONG_LEASE_S), "JOBS_AT_ONCE": "1"}
    isolated.start_all()
    isolated.start("eligibility2")
    await isolated.until_bus_is_trusted()
    drive_id = await owner.fetchval(NEXT_DRIVE)
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with isolated.client() as client:
        held = (await publish(client))["job"]["id"]
        port = await eventually(lambda: owner.fetchval(HOLDER, held))
        [killed] = [name for name in ("eligibility", "eligibility2") if isolated.ports[name] == port]
        isolated.processes[killed].kill()
        await owner.execute(LET_GO)
        others = [(await publish(client))["job"]["id"] for _ in range(3)]
        same = await client.post(f"/api/drives/{drive_id}/trigger-eligibility")
        others.append(same.json()["job"]["id"])
        for job_id in others:
            job = await settled(owner, job_id)
            assert (job["state"], job["attempts"]) == ("succeeded", 1)
        assert await owner.fetchval(IS_LEASED, held), "the lease ran out before the others were done: no proof"
    job = await settled(owner, held)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    # A newer evaluation of the drive has been done: the older one changes nothing.
    assert job["result"] == '{"superseded": true}'
    assert await owner.fetchval(RESULT_EVENTS, held) == 0
    assert await owner.fetchval(RESULT_EVENTS, others[-1]) == 1


async def test_a_suspended_worker_that_wakes_after_its_lease_commits_nothing(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 300)
    isolated.start_all()  # no Kafka: the API wakes the worker by HTTP
    drive_id = await owner.fetchval(NEXT_DRIVE)
    await owner.execute(HOLD_EVALUATION, drive_id)
    async with isolated.client() as client:
        asking = asyncio.create_task(publish(client))

        async def job_running() -> str | None:
            found: str | None = await owner.fetchval("SELECT id::text FROM es.job WHERE state = 'running'")
            return found

        job_id = await eventually(job_running)
        isolated.processes["eligibility"].suspend()
        isolated.start("eligibility2")
        await owner.execute(LET_GO)
        job = await settled(owner, str(job_id))
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        isolated.processes["eligibility"].resume()

        async def fenced() -> bool:
            return "job.lost" in isolated.processes["eligibility"].log_tail()

        await eventually(fenced)
        await asking
    assert await owner.fetchval(RESULT_EVENTS, str(job_id)) == 1
