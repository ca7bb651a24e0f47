"""Queued batchable jobs share a transaction. If it fails, each job runs alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.errors import RuleViolation
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.jobs.job_handler import JobHandler, Outcome
from chassis.jobs.queue import Claim
from chassis.jobs.worker import BATCH_SIZE, Worker
from chassis.postgres.database import Connection
from contracts.checks import CheckRequested
from contracts.jobs import Kind, State
from services.maintenance import checks
from tests.support.eventually import eventually
from tests.support.job_worker import done, wake, working

Owner = asyncpg.Connection
# The number of jobs that each transaction finished. All rows of a transaction have its id in xmin.
SHARED = "SELECT count(*) FROM es.job WHERE state = 'succeeded' GROUP BY xmin ORDER BY 1 DESC"
IN_ITS_TRANSACTION = "SELECT count(*) FROM es.job WHERE xmin = (SELECT xmin FROM es.job WHERE id = $1)"
ANSWERS = "SELECT count(*), count(DISTINCT stream_id) FROM es.event WHERE type LIKE 'placewire.check.answered%'"
STATES = "SELECT state, attempts, count(*) FROM es.job GROUP BY 1, 2 ORDER BY 1, 2"


async def queued_checks(owner: "Owner[asyncpg.Record]", count: int) -> list[UUID]:
    cause = Cause(source="test", correlation_id=uuid4())
    ids: list[UUID] = []
    for _ in range(count):
        check = uuid4()
        async with owner.transaction():
            event = CheckRequested(check_id=check)
            ids += (await event_store.append(owner, f"check-{check}", [event], cause, expected_version=0)).ids
    return ids


@asynccontextmanager
async def batching_worker(
    database_url: str, handle: object = checks.answer, *, at_once: int = 2, owner: str = "test"
) -> AsyncIterator[Worker]:
    work = JobHandler(handle=handle, failed=checks.failed, batchable=frozenset({CheckRequested.TYPE}))  # type: ignore[arg-type]
    async with working(database_url, work=work, kind=Kind.CHECK, at_once=at_once, owner=owner) as worker:
        yield worker


async def test_queued_jobs_run_in_batches(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    ids = await queued_checks(owner, 5 * BATCH_SIZE)
    async with batching_worker(database_url) as worker:
        jobs = await done(worker, *ids)
    assert {(job.state, job.attempts) for job in jobs} == {(State.SUCCEEDED, 1)}
    sizes = [row[0] for row in await owner.fetch(SHARED)]
    # Two free slots share the last batch.
    assert sizes in ([BATCH_SIZE] * 5, [BATCH_SIZE] * 4 + [BATCH_SIZE // 2] * 2)
    assert tuple(await owner.fetchrow(ANSWERS)) == (5 * BATCH_SIZE, 5 * BATCH_SIZE)  # type: ignore[arg-type]


async def test_a_single_queued_job_runs_alone(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    first, second = await queued_checks(owner, 2)
    async with batching_worker(database_url) as worker:
        await done(worker, first)
        await done(worker, second)
    assert [row[0] for row in await owner.fetch(SHARED)] == [1, 1]


async def test_a_failing_job_does_not_fail_the_other_jobs_of_its_batch(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    ids = await queued_checks(owner, 16)
    failing_id = ids[3]

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if claimed.id == failing_id:
            raise RuleViolation("this job fails")
        return await checks.answer(connection, claimed)

    async with batching_worker(database_url, handle) as worker:
        jobs = await done(worker, *ids)
    assert [job.id for job in jobs if job.state is State.FAILED] == [failing_id]
    assert tuple(await owner.fetchrow(ANSWERS)) == (15, 15)  # type: ignore[arg-type]


async def test_a_cancelled_job_does_not_affect_the_other_jobs_of_its_batch(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    ids = await queued_checks(owner, 8)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        started.set()
        await go_on.wait()
        return await checks.answer(connection, claimed)

    async with batching_worker(database_url, handle, at_once=1) as worker:
        wake(worker, ids)
        await started.wait()
        await owner.execute("UPDATE es.job SET state = 'cancelled', finished_at = now() WHERE id = $1", ids[5])
        go_on.set()

        async def ended() -> bool:
            return not await owner.fetchval("SELECT count(*) FROM es.job WHERE finished_at IS NULL")

        await eventually(ended)
    assert {tuple(row) for row in await owner.fetch(STATES)} == {("cancelled", 1, 1), ("succeeded", 1, 7)}
    assert tuple(await owner.fetchrow(ANSWERS)) == (7, 7)  # type: ignore[arg-type]


async def test_a_stopping_worker_releases_all_jobs_of_its_batch(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    ids = await queued_checks(owner, 8)
    started = asyncio.Event()

    async def handle(_connection: Connection, _claimed: Claim) -> Outcome:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError("this event is never set")

    async with batching_worker(database_url, handle, at_once=1, owner="stopping") as worker:
        wake(worker, ids)
        await started.wait()
        await worker.stop(0.1)
    assert {tuple(row) for row in await owner.fetch(STATES)} == {("queued", 0, 8)}
    async with batching_worker(database_url) as worker:
        await done(worker, *ids)
    assert tuple(await owner.fetchrow(ANSWERS)) == (8, 8)  # type: ignore[arg-type]


async def test_a_job_that_is_interrupted_after_its_batch_failed_is_released_once(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    ids = await queued_checks(owner, 8)
    batch_failed, runs_alone = [False], asyncio.Event()

    async def handle(_connection: Connection, _claimed: Claim) -> Outcome:
        if not batch_failed[0]:
            batch_failed[0] = True
            raise RuleViolation("the batch fails")
        runs_alone.set()
        await asyncio.Event().wait()
        raise AssertionError("this event is never set")

    async with batching_worker(database_url, handle, at_once=1) as worker:
        wake(worker, ids)
        await runs_alone.wait()
        await worker.stop(0.1)
    assert {tuple(row) for row in await owner.fetch(STATES)} == {("queued", 0, 8)}


async def test_jobs_before_a_blocked_job_of_a_batch_do_not_wait_with_it(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """Otherwise the earlier jobs would keep their locks while the blocked job waits."""
    ids = await queued_checks(owner, 8)

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if claimed.id == ids[4]:
            await connection.execute("SELECT pg_advisory_xact_lock(77)")
        return await checks.answer(connection, claimed)

    async def four_are_done() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = 4 FROM es.job WHERE state = 'succeeded'"))

    async with batching_worker(database_url, handle, at_once=1) as worker:
        await owner.execute("SELECT pg_advisory_lock(77)")
        wake(worker, ids)
        await eventually(four_are_done)
        await owner.execute("SELECT pg_advisory_unlock(77)")
        await done(worker, *ids)
    assert tuple(await owner.fetchrow(ANSWERS)) == (8, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_job_that_failed_before_runs_alone(
    owner: "Owner[asyncpg.Record]", database_url: str, attempts: int
) -> None:
    """The job may have killed the worker, so it must not share a transaction."""
    ids = await queued_checks(owner, 9)
    await owner.execute("UPDATE es.job SET attempts = $2 WHERE id = $1", ids[0], attempts)
    async with batching_worker(database_url, at_once=1) as worker:
        await done(worker, *ids)
    assert (
        await owner.fetchval("SELECT count(*) FROM es.job WHERE xmin = (SELECT xmin FROM es.job WHERE id = $1)", ids[0])
        == 1
    )
