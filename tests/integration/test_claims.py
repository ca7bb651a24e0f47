"""Which jobs a worker claims, and in which order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from chassis.jobs import queue
from chassis.jobs.job_handler import JobHandler
from chassis.jobs.queue import Claim, ClaimPolicy
from contracts.drives import DrivePublished, EligibilityRequested
from contracts.jobs import Channel, Service, State
from services.eligibility import handlers
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.job_worker import done, waited, working

Owner = asyncpg.Connection
NEWEST_WINS = frozenset({DrivePublished.TYPE, EligibilityRequested.TYPE})
POLICY = ClaimPolicy(Service.ELIGIBILITY, "test", timedelta(seconds=60), newest_wins=NEWEST_WINS)
EVALUATION = JobHandler(handle=handlers.evaluate, failed=handlers.failed, newest_wins=NEWEST_WINS)
RUNNING = "UPDATE es.job SET state = 'running', lease_until = clock_timestamp() + interval '30 s' WHERE id = $1"


async def published(api: Api) -> tuple[int, UUID]:
    """Create a drive. Return its id and the job of its evaluation."""
    answer = (await api.post("/api/drives", json={**DRIVE, "auto_calc": True})).json()
    return answer["drive_id"], UUID(answer["job"]["id"])


async def changed(api: Api, drive_id: int, min_cgpa: str) -> UUID:
    """Change the criteria of the drive. Return the job of the new evaluation."""
    return UUID((await api.patch(f"/api/drives/{drive_id}", json={"min_cgpa": min_cgpa})).json()["job"]["id"])


async def claim_jobs(owner: "Owner[asyncpg.Record]", slots: int, policy: ClaimPolicy = POLICY) -> list[Claim]:
    return await queue.claim(owner, policy, slots)


def ids(claims: Sequence[Claim]) -> list[UUID]:
    return [claim.id for claim in claims]


async def test_queued_jobs_are_claimed_oldest_first_and_once(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    queued = [(await published(api))[1] for _ in range(4)]
    assert ids(await claim_jobs(owner, 3)) == queued[:3]
    assert ids(await claim_jobs(owner, 3)) == queued[3:]
    assert await claim_jobs(owner, 3) == []


async def test_a_job_with_an_expired_lease_is_claimed_again_with_a_new_token(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    _, job_id = await published(api)
    [first] = await claim_jobs(owner, 1)
    await owner.execute("UPDATE es.job SET lease_until = clock_timestamp() - interval '1 s'")
    [second] = await claim_jobs(owner, 1)
    assert (second.id, second.attempts) == (job_id, 2)
    assert second.fence != first.fence


async def test_jobs_of_idle_subjects_are_claimed_first(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    busy, running = await published(api)
    await owner.execute(RUNNING, running)
    waiting = await changed(api, busy, "8")
    _, idle = await published(api)
    assert ids(await claim_jobs(owner, 1)) == [idle]
    assert ids(await claim_jobs(owner, 1)) == [waiting], "it is claimed when nothing else is queued"


async def test_only_the_newest_evaluation_of_a_drive_is_claimed(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    drive_id, first = await published(api)
    second, third = await changed(api, drive_id, "7"), await changed(api, drive_id, "8")
    _, other = await published(api)
    newest, another = await claim_jobs(owner, 4)
    assert (newest.id, list(newest.older_ids)) == (third, [second, first])
    assert (another.id, list(another.older_ids)) == (other, [])
    states = await owner.fetch("SELECT id FROM es.job WHERE state = 'queued' ORDER BY seq")
    assert [row["id"] for row in states] == [first, second], "the older jobs wait for the newest one"


async def test_a_batch_excludes_jobs_of_a_subject_that_has_a_running_job(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    busy, running = await published(api)
    await owner.execute(RUNNING, running)
    waiting = [await changed(api, busy, cgpa) for cgpa in ("7", "8")]
    others = [(await published(api))[1] for _ in range(2)]
    small = replace(POLICY, batchable=NEWEST_WINS, batch_size=8, newest_wins=frozenset())
    assert ids(await claim_jobs(owner, 1, small)) == others
    assert ids(await claim_jobs(owner, 1, small)) == waiting[:1], "it is claimed alone"


async def test_older_evaluations_end_as_superseded_with_the_newest(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 100)
    drive_id, first = await published(api)
    second = await changed(api, drive_id, "8")
    async with working(database_url, work=EVALUATION) as worker:
        [newest] = await done(worker, second)
        older = await waited(worker, first, timeout_s=20)
    assert newest.result is not None
    assert "drive_version" in newest.result
    assert older is not None
    assert (older.state, older.result, older.attempts) == (State.SUCCEEDED, {"superseded": True}, 0)
    finished = await owner.fetch("SELECT xmin::text FROM es.job")
    assert len({row["xmin"] for row in finished}) == 1, "both jobs must end in one transaction"
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE type LIKE '%evaluated%'") == 1


async def test_older_evaluations_run_when_the_newest_fails_for_good(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 100)
    drive_id, first = await published(api)
    second = await changed(api, drive_id, "8")

    async def handle(connection: object, job: Claim) -> object:
        if job.id == second:
            raise ValueError("a bug that affects only the newest event")
        return await handlers.evaluate(connection, job)  # type: ignore[arg-type]

    work = JobHandler(handle=handle, failed=handlers.failed, newest_wins=NEWEST_WINS)  # type: ignore[arg-type]
    async with working(database_url, work=work) as worker:
        [newest] = await done(worker, second)
        older = await waited(worker, first, timeout_s=20)
    assert newest.state is State.FAILED
    assert older is not None
    assert older.state is State.SUCCEEDED
    assert older.result != {"superseded": True}


async def test_a_worker_without_wake_ups_finds_its_jobs_by_polling(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 20)
    async with working(database_url) as worker:
        await eventually(lambda: _polled_once(worker))
        _, job_id = await published(api)
        job = await waited(worker, job_id, timeout_s=20)
    assert job is not None
    assert (job.state, job.channel) == (State.SUCCEEDED, Channel.POLL)


@pytest.mark.parametrize("healthy", [True, False])
async def test_an_idle_worker_polls_less_often_while_kafka_delivers(
    api: Api,
    owner: "Owner[asyncpg.Record]",
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    healthy: bool,
) -> None:
    monkeypatch.setattr("chassis.jobs.worker.EMPTY_POLLS_TO_IDLE", 3)
    monkeypatch.setattr("chassis.jobs.worker.POLL_S", 0.05)
    monkeypatch.setattr("chassis.jobs.worker.IDLE_POLL_S", 3600)
    async with working(database_url) as worker:
        worker.bus_is_healthy = lambda: healthy

        async def idle() -> bool:
            return worker._empty_polls >= 3

        await eventually(idle)
        _, job_id = await published(api)
        job = await waited(worker, job_id, timeout_s=0.5 if healthy else 20)
        assert job is not None
        assert job.state.ended is not healthy
        if healthy:
            worker.wake(job_id, Channel.HTTP)
            job = await waited(worker, job_id, timeout_s=20)
    assert job is not None
    assert (job.state, job.channel) == (State.SUCCEEDED, Channel.HTTP if healthy else Channel.POLL)


async def _polled_once(worker: object) -> bool:
    return bool(worker._empty_polls)  # type: ignore[attr-defined]


async def test_a_busy_worker_remembers_the_channel_of_a_wake_up(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    _, first = await published(api)
    await owner.execute("SELECT pg_advisory_lock(hashtextextended('evaluation:1', 0))")
    async with working(database_url, at_once=1) as worker:
        worker.wake(first, Channel.KAFKA)

        async def busy() -> bool:
            return bool(worker.busy)

        await eventually(busy)
        _, second = await published(api)
        worker.wake(second, Channel.HTTP)
        await owner.execute("SELECT pg_advisory_unlock(hashtextextended('evaluation:1', 0))")
        ended = [await waited(worker, job_id, timeout_s=20) for job_id in (first, second)]
    assert [job.channel for job in ended if job] == [Channel.KAFKA, Channel.HTTP]
