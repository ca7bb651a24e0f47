"""How a worker handles failures: retries, dead letters, the pause, and waiting for the database."""

import asyncio
from time import monotonic
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from chassis.errors import RuleViolation
from chassis.jobs.attempts import MAX_ATTEMPTS
from chassis.jobs.failure_limit import MAX_FAILURES_IN_A_ROW
from chassis.jobs.job_handler import JobHandler, Outcome
from chassis.jobs.queue import Claim
from chassis.postgres.database import Connection
from contracts.jobs import Channel, State
from services.eligibility import handlers
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.job_worker import done, waited, wake, working

Owner = asyncpg.Connection
FAILURES = "SELECT data FROM es.event WHERE type = 'placewire.eligibility.failed.v1'"


async def requested_job(api: Api) -> str:
    answer = await api.post("/api/drives", json={**DRIVE, "auto_calc": True})
    job_id: str = answer.json()["job"]["id"]
    return job_id


def failing(error: Exception, *, times: int = 1_000) -> JobHandler:
    """Return a handler that raises ``error`` ``times`` times, and then runs the real evaluation."""
    remaining = [times]

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if remaining[0]:
            remaining[0] -= 1
            raise error
        return await handlers.evaluate(connection, claimed)

    return JobHandler(handle=handle, failed=handlers.failed)


async def test_a_failed_job_becomes_a_dead_letter_with_event_and_copy(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    async with working(database_url, work=failing(RuleViolation("the list is on the moon"))) as worker:
        [job] = await done(worker, job_id)
    assert (job.state, job.dead_lettered, job.error) == (State.FAILED, True, "the list is on the moon")
    [event] = await owner.fetch(FAILURES)
    assert "the list is on the moon" in event["data"]
    copy = await owner.fetchrow(
        "SELECT extra, event_id::text FROM es.outbox WHERE topic = 'placewire.eligibility.dead-letter'"
    )
    assert copy is not None
    assert copy["event_id"] == job_id
    assert "the list is on the moon" in copy["extra"]


async def test_an_internal_error_is_reported_without_its_message(api: Api, database_url: str) -> None:
    job_id = await requested_job(api)
    async with working(database_url, work=failing(KeyError("SELECT secret FROM somewhere"))) as worker:
        [job] = await done(worker, job_id)
    assert job.error == "internal error (KeyError)"


async def test_a_paused_worker_tries_one_job_at_a_time_and_resumes_when_one_succeeds(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    jobs = [await requested_job(api) for _ in range(MAX_FAILURES_IN_A_ROW + 6)]
    work = failing(RuleViolation("a bad release"), times=MAX_FAILURES_IN_A_ROW + 2)
    async with working(database_url, work=work, at_once=1, paused_retry_s=1.5) as worker:
        await done(worker, *jobs[:MAX_FAILURES_IN_A_ROW])
        assert worker.paused
        paused_at = monotonic()
        wake(worker, [UUID(id_) for id_ in jobs[MAX_FAILURES_IN_A_ROW:]])
        ended = [await waited(worker, UUID(id_), timeout_s=30) for id_ in jobs[MAX_FAILURES_IN_A_ROW:]]
        assert monotonic() - paused_at > 3 * 1.5  # two retries fail, the third succeeds
        assert not worker.paused
    assert [job.state for job in ended if job] == [State.FAILED] * 2 + [State.SUCCEEDED] * 4
    times = await owner.fetch("SELECT finished_at FROM es.job ORDER BY seq OFFSET $1", MAX_FAILURES_IN_A_ROW)
    first, second, third, fourth, *_ = [row["finished_at"].timestamp() for row in times]
    assert second - first > 1
    assert third - second > 1
    assert fourth - third < 1  # the worker has resumed, and does not wait for the next retry


async def test_a_paused_worker_claims_nothing_before_its_retry_is_due(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    jobs = [await requested_job(api) for _ in range(MAX_FAILURES_IN_A_ROW + 5)]
    async with working(database_url, work=failing(RuleViolation("a bad release")), at_once=1) as worker:
        await done(worker, *jobs[:MAX_FAILURES_IN_A_ROW])
        wake(worker, [UUID(id_) for id_ in jobs[MAX_FAILURES_IN_A_ROW:]])
        async with working(database_url, owner="another") as another:
            # Another replica runs the jobs, so they do not wait for the paused worker.
            ended = [await waited(another, UUID(id_), timeout_s=30) for id_ in jobs[MAX_FAILURES_IN_A_ROW:]]
        assert worker.paused
    assert [job.state for job in ended if job] == [State.SUCCEEDED] * 5
    assert await owner.fetchval("SELECT count(*) FROM es.job WHERE dead_lettered") == MAX_FAILURES_IN_A_ROW
    assert await owner.fetchval("SELECT count(*) FROM es.job WHERE owner = 'another'") == 5


async def test_a_second_wake_up_changes_nothing(api: Api, owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    await enrol(owner, 100)
    job_id = await requested_job(api)
    async with working(database_url) as worker:
        await done(worker, job_id)
        [job] = await done(worker, job_id, channel=Channel.HTTP)
    assert (job.channel, job.attempts) == (Channel.KAFKA, 1)


async def test_two_replicas_woken_for_the_same_jobs_have_one_effect(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 500)
    jobs = [await requested_job(api) for _ in range(5)]
    async with working(database_url, owner="one") as first, working(database_url, owner="two") as second:
        await asyncio.gather(
            *(
                done(worker, job, channel=channel)
                for job in jobs
                for worker, channel in ((first, Channel.KAFKA), (second, Channel.HTTP))
            )
        )
    assert await owner.fetchval(
        "SELECT count(*) FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1'"
    ) == len(jobs)


async def test_a_lost_database_connection_spends_no_attempt(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 100)
    job_id = await requested_job(api)
    await owner.execute("SELECT pg_advisory_lock(hashtextextended('evaluation:1', 0))")
    async with working(database_url) as worker:
        wake(worker, [UUID(job_id)])

        async def evaluation_waits() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"))

        await eventually(evaluation_waits)
        await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'")
        await owner.execute("SELECT pg_advisory_unlock_all()")
        job = await waited(worker, UUID(job_id), timeout_s=20)
    assert job is not None
    assert (job.state, job.attempts) == (State.SUCCEEDED, 1)


def breaking_off(statement: str, *, times: int = 1_000) -> JobHandler:
    """Return a handler in which Postgres fails ``statement`` ``times`` times, before the real evaluation runs."""
    remaining = [times]

    async def handle(connection: Connection, claimed: Claim) -> Outcome:
        if remaining[0]:
            remaining[0] -= 1
            await connection.execute(statement)
        return await handlers.evaluate(connection, claimed)

    return JobHandler(handle=handle, failed=handlers.failed)


# The timeout is first turned off, because PostgreSQL 18 cannot shorten a running one.
KILLS_ITSELF = "SET LOCAL transaction_timeout = 0; SET LOCAL transaction_timeout = '100ms'; SELECT pg_sleep(10)"
NO_DISK = "DO $$ BEGIN RAISE 'no space left on device' USING ERRCODE = 'disk_full'; END $$"


@pytest.mark.parametrize("statement", [KILLS_ITSELF, NO_DISK], ids=["kills-its-connection", "fills-the-disk"])
async def test_a_job_that_makes_the_database_break_off_is_given_up(api: Api, database_url: str, statement: str) -> None:
    killer, good = await requested_job(api), await requested_job(api)
    async with working(database_url, work=breaking_off(statement, times=MAX_ATTEMPTS), at_once=1) as worker:
        first, second = await done(worker, killer, good)
    assert (first.state, first.dead_lettered, first.attempts) == (State.FAILED, True, 1)
    assert first.error == "given up: the database ended the transaction 6 times, but was healthy each time"
    assert second.state is State.SUCCEEDED


@pytest.mark.full_only
async def test_a_job_waits_while_the_database_has_no_disk_space(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    # This setting simulates a full disk for this database only.
    alter_role = f"ALTER ROLE placewire_eligibility IN DATABASE {urlsplit(database_url).path[1:]}"
    await owner.execute(f"{alter_role} SET temp_file_limit = 0")
    try:
        async with working(database_url, work=breaking_off(NO_DISK, times=MAX_ATTEMPTS + 1)) as worker:
            [job] = await done(worker, job_id)
    finally:
        await owner.execute(f"{alter_role} RESET temp_file_limit")
    assert (job.state, job.attempts) == (State.SUCCEEDED, 1)


async def test_an_event_this_release_cannot_read_becomes_a_dead_letter(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 50)
    unreadable, good = await requested_job(api), await requested_job(api)
    await owner.execute("ALTER TABLE es.event DISABLE TRIGGER event_is_append_only")
    await owner.execute(
        "UPDATE es.event SET type = 'placewire.drive.published.v2' WHERE event_id = $1", UUID(unreadable)
    )
    async with working(database_url, at_once=1) as worker:
        first, second = await done(worker, unreadable, good)
    assert (first.state, first.dead_lettered) == (State.FAILED, True)
    assert first.error is not None
    assert "newer" in first.error
    assert second.state is State.SUCCEEDED
    drive_id = await owner.fetchval("SELECT data ->> 'drive_id' FROM es.event WHERE type LIKE '%failed%'")
    assert drive_id == "1"
    await owner.execute(
        "UPDATE es.event SET type = 'placewire.drive.published.v1' WHERE event_id = $1", UUID(unreadable)
    )
