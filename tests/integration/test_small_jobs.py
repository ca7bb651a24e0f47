"""Small jobs that wait share a transaction: done together, and each alone when anything goes wrong."""

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
# How many jobs each transaction finished: rows written by one transaction have its id.
SHARED = "SELECT count(*) FROM es.job WHERE state = 'succeeded' GROUP BY xmin ORDER BY 1 DESC"
IN_ITS_TRANSACTION = "SELECT count(*) FROM es.job WHERE xmin = (SELECT xmin FROM es.job WHERE id = $1)"
ANSWERS = "SELECT count(*), count(DISTINCT stream_id) FROM es.event WHERE type LIKE 'placewire.check.answered%'"
STATES = "SELECT state, attempts, count(*) FROM es.job GROUP BY 1, 2 ORDER BY 1, 2"


async def asked(owner: "Owner[asyncpg.Record]", count: int) -> list[UUID]:
    cause = Cause(source="test", correlation_id=uuid4())
    ids: list[UUID] = []
    for _ in range(count):
        check = uuid4()
        async with owner.transaction():
            event = CheckRequested(check_id=check)
            ids += (await event_store.append(owner, f"check-{check}", [event], cause, expected_version=0)).ids
    return ids


@asynccontextmanager
async def small(
    database_url: str, handle: object = checks.answer, *, at_once: int = 2, owner: str = "test"
) -> AsyncIterator[Worker]:
    work = JobHandler(handle=handle, failed=checks.failed, batchable=frozenset({CheckRequested.TYPE}))  # type: ignore[arg-type]
    async with working(database_url, work=work, kind=Kind.CHECK, at_once=at_once, owner=owner) as worker:
        yield worker


async def test_what_waits_is_done_many_at_a_time(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    ids = await asked(owner, 5 * BATCH_SIZE)
    async with small(database_url) as worker:
        jobs = await done(worker, *ids)
    assert {(job.state, job.attempts) for job in jobs} == {(State.SUCCEEDED, 1)}
    sizes = [row[0] for row in await owner.fetch(SHARED)]
    # Two free slots divide the last ones between them.
    assert sizes in ([BATCH_SIZE] * 5, [BATCH_SIZE] * 4 + [BATCH_SIZE // 2] * 2)
    assert tuple(await owner.fetchrow(ANSWERS)) == (5 * BATCH_SIZE, 5 * BATCH_SIZE)  # type: ignore[arg-type]


async def test_one_that_nobody_waits_behind_is_done_alone(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    first, second = await asked(owner, 2)
    async with small(database_url) as worker:
        await done(worker, first)
        await done(worker, second)
    assert [row[0] for row in await owner.fetch(SHARED)] == [1, 1]


async def test_a_poison_among_them_dies_alone(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    ids = await asked(owner, 16)
    poison = ids[3]

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if claimed.id == poison:
            raise RuleViolation("not this one")
        return await checks.answer(connection, claimed)

    async with small(database_url, handle) as worker:
        jobs = await done(worker, *ids)
    assert [job.id for job in jobs if job.state is State.FAILED] == [poison]
    assert tuple(await owner.fetchrow(ANSWERS)) == (15, 15)  # type: ignore[arg-type]


async def test_one_that_was_cancelled_meanwhile_takes_no_other_with_it(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    ids = await asked(owner, 8)
    began, go_on = asyncio.Event(), asyncio.Event()

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        began.set()
        await go_on.wait()
        return await checks.answer(connection, claimed)

    async with small(database_url, handle, at_once=1) as worker:
        wake(worker, ids)
        await began.wait()
        await owner.execute("UPDATE es.job SET state = 'cancelled', finished_at = now() WHERE id = $1", ids[5])
        go_on.set()

        async def ended() -> bool:
            return not await owner.fetchval("SELECT count(*) FROM es.job WHERE finished_at IS NULL")

        await eventually(ended)
    assert {tuple(row) for row in await owner.fetch(STATES)} == {("cancelled", 1, 1), ("succeeded", 1, 7)}
    assert tuple(await owner.fetchrow(ANSWERS)) == (7, 7)  # type: ignore[arg-type]


async def test_a_worker_that_must_go_gives_all_of_them_back(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    ids = await asked(owner, 8)
    began = asyncio.Event()

    async def handle(_connection: Connection, _claimed: Claim) -> Outcome:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")

    async with small(database_url, handle, at_once=1, owner="going") as worker:
        wake(worker, ids)
        await began.wait()
        await worker.stop(0.1)
    assert {tuple(row) for row in await owner.fetch(STATES)} == {("queued", 0, 8)}
    async with small(database_url) as worker:
        await done(worker, *ids)
    assert tuple(await owner.fetchrow(ANSWERS)) == (8, 8)  # type: ignore[arg-type]


async def test_one_of_them_that_is_interrupted_alone_is_given_back_once(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    ids = await asked(owner, 8)
    failed, alone = [False], asyncio.Event()

    async def handle(_connection: Connection, _claimed: Claim) -> Outcome:
        if not failed[0]:
            failed[0] = True
            raise RuleViolation("not together")
        alone.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")

    async with small(database_url, handle, at_once=1) as worker:
        wake(worker, ids)
        await alone.wait()
        await worker.stop(0.1)
    assert {tuple(row) for row in await owner.fetch(STATES)} == {("queued", 0, 8)}


async def test_those_before_one_that_must_wait_do_not_wait_with_it(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """Else they would hold what they have locked for as long as that one waits."""
    ids = await asked(owner, 8)

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if claimed.id == ids[4]:
            await connection.execute("SELECT pg_advisory_xact_lock(77)")
        return await checks.answer(connection, claimed)

    async def four_are_done() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = 4 FROM es.job WHERE state = 'succeeded'"))

    async with small(database_url, handle, at_once=1) as worker:
        await owner.execute("SELECT pg_advisory_lock(77)")
        wake(worker, ids)
        await eventually(four_are_done)
        await owner.execute("SELECT pg_advisory_unlock(77)")
        await done(worker, *ids)
    assert tuple(await owner.fetchrow(ANSWERS)) == (8, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("tried", [1, 3])
async def test_what_failed_before_is_done_alone(owner: "Owner[asyncpg.Record]", database_url: str, tried: int) -> None:
    """It may have been what killed the worker, and would take the others with it."""
    ids = await asked(owner, 9)
    await owner.execute("UPDATE es.job SET attempts = $2 WHERE id = $1", ids[0], tried)
    async with small(database_url, at_once=1) as worker:
        await done(worker, *ids)
    assert (
        await owner.fetchval("SELECT count(*) FROM es.job WHERE xmin = (SELECT xmin FROM es.job WHERE id = $1)", ids[0])
        == 1
    )
