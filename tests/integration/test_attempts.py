"""Which failures spend an attempt of a job, and how a worker handles a commit whose answer was lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import REGISTRY

from chassis.errors import Contended, RuleViolation
from chassis.jobs import queue
from chassis.jobs.attempts import MAX_ATTEMPTS
from chassis.jobs.lease import return_attempt
from chassis.jobs.queue import ClaimPolicy
from chassis.postgres.database import Database
from contracts.jobs import Service, State
from devstack.ports import LOOPBACK
from tests.conftest import Api
from tests.integration.test_worker import failing, requested_job
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.job_worker import done, waited, wake, working
from tests.support.system import as_role
from tests.support.tcp_proxy import TcpProxy

Owner = asyncpg.Connection
ROW = "SELECT state, attempts, dead_lettered FROM es.job"
LOCK = "SELECT pg_advisory_lock(hashtextextended('evaluation:1', 0))"
UNLOCK = "SELECT pg_advisory_unlock_all()"
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
COMMITTED = b"COMMIT\0"


class LossyServer:
    """A proxy in front of Postgres that resets a connection instead of forwarding the answer to a commit.

    ``loses`` is the number of answers that it will still drop.
    """

    def __init__(self, port: int, loses: int) -> None:
        self._port = port
        self.loses = loses

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._port)
        requests = asyncio.create_task(_pump(reader, far_writer))
        try:
            while chunk := await far_reader.read(65_536):
                # The answer to a COMMIT.
                if self.loses and COMMITTED in chunk:
                    self.loses -= 1
                    writer.transport.abort()
                    return
                writer.write(chunk)
        finally:
            requests.cancel()
            far_writer.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
    writer.close()


@asynccontextmanager
async def losing_commits(database_url: str, times: int) -> AsyncIterator[int]:
    """Yield the port of a proxy that drops the answers to the first ``times`` commits."""
    port = urlsplit(database_url).port
    assert port is not None
    server = await asyncio.start_server(LossyServer(port, times).accept, LOOPBACK)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def ended_jobs(outcome: str) -> float:
    labels = {"kind": "eligibility", "channel": "kafka", "outcome": outcome}
    return REGISTRY.get_sample_value("placewire_job_duration_seconds_count", labels) or 0.0


async def waits_for_lock(owner: "Owner[asyncpg.Record]") -> bool:
    return bool(await owner.fetchval(WAITS))


async def test_each_transient_failure_spends_an_attempt(api: Api, database_url: str) -> None:
    job_id = await requested_job(api)
    async with working(database_url, work=failing(Contended("deadlock"), times=MAX_ATTEMPTS - 1)) as worker:
        [job] = await done(worker, job_id)
    assert (job.state, job.attempts) == (State.SUCCEEDED, MAX_ATTEMPTS)


async def test_the_sixth_transient_failure_is_a_dead_letter(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    async with working(database_url, work=failing(Contended("deadlock"), times=MAX_ATTEMPTS)) as worker:
        [job] = await done(worker, job_id)
    assert (job.state, job.dead_lettered, job.attempts) == (State.FAILED, True, MAX_ATTEMPTS)
    assert job.error == "given up: 6 attempts failed, the last one in a conflict with another transaction"
    assert await owner.fetchval("SELECT count(*) FROM selections") == 0


async def test_a_permanent_failure_is_a_dead_letter_at_once(api: Api, database_url: str) -> None:
    job_id = await requested_job(api)
    async with working(database_url, work=failing(RuleViolation("not by these rules"))) as worker:
        [job] = await done(worker, job_id)
    assert (job.state, job.dead_lettered, job.attempts) == (State.FAILED, True, 1)


@pytest.mark.parametrize(("deaths", "state"), [(MAX_ATTEMPTS - 1, State.SUCCEEDED), (MAX_ATTEMPTS, State.FAILED)])
async def test_a_killed_worker_spends_an_attempt_and_the_sixth_gives_a_dead_letter(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, deaths: int, state: State
) -> None:
    job_id = await requested_job(api)
    # The state after killed workers: running, with an expired lease.
    await owner.execute(
        "UPDATE es.job SET state = 'running', attempts = $1::int,"
        " fence = gen_random_uuid(),"
        " lease_until = now() - interval '1 s'",
        deaths,
    )
    async with working(database_url) as worker:
        job = await waited(worker, UUID(job_id), timeout_s=20)
    assert job is not None
    assert (job.state, job.attempts) == (state, MAX_ATTEMPTS)
    if state is State.FAILED:
        assert job.error == "given up: 6 attempts failed; in the last one the worker died"


async def test_killed_workers_and_failures_count_together(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    await owner.execute("UPDATE es.job SET attempts = 3")  # of three killed workers
    async with working(database_url, work=failing(Contended("deadlock"), times=2)) as worker:
        [job] = await done(worker, job_id)
    assert (job.state, job.attempts) == (State.SUCCEEDED, MAX_ATTEMPTS)


async def test_spent_attempts_stay_recorded_when_a_worker_loses_its_claim(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    async with working(database_url, work=failing(Contended("deadlock"))) as worker:
        wake(worker, [UUID(job_id)])

        async def failed_twice() -> bool:
            return bool(await owner.fetchval("SELECT attempts >= 3 FROM es.job"))

        await eventually(failed_twice)
        await owner.execute("UPDATE es.job SET fence = gen_random_uuid()")  # another worker claims the job
    assert await owner.fetchval("SELECT attempts >= 3 AND NOT dead_lettered FROM es.job")


@pytest.mark.parametrize(("counted", "expected"), [(True, 1), (False, 2)])
async def test_an_attempt_is_returned_only_if_it_was_counted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, counted: bool, expected: int
) -> None:
    """After a crash of the server, the claim may be lost. Then its attempt was not counted."""
    job_id = await requested_job(api)
    database = Database(as_role(database_url, "placewire_eligibility"), pool_size=1, application_name="test")
    policy = ClaimPolicy(Service.ELIGIBILITY, "test", timedelta(minutes=1))
    try:
        async with database.connection() as connection:
            [claimed] = await queue.claim(connection, policy, 1)
            assert claimed.id == UUID(job_id)
            await owner.execute("UPDATE es.job SET fence = gen_random_uuid(), attempts = 2")  # another worker's claim
            await queue.return_attempt(connection, claimed if counted else replace(claimed, attempts=2))
    finally:
        await database.close()
    assert await owner.fetchval("SELECT attempts FROM es.job") == expected


async def test_an_attempt_is_returned_once_even_if_the_answer_to_the_commit_is_lost(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await requested_job(api)
    policy = ClaimPolicy(Service.ELIGIBILITY, "test", timedelta(minutes=1))
    async with losing_commits(database_url, 1) as port:
        parts = urlsplit(as_role(database_url, "placewire_eligibility"))
        url = urlunsplit(parts._replace(netloc=f"{parts.username}@{LOOPBACK}:{port}"))
        database = Database(url, pool_size=1, application_name="test")
        try:
            async with database.connection() as connection:
                [claimed] = await queue.claim(connection, policy, 1)
            await owner.execute("UPDATE es.job SET fence = gen_random_uuid(), attempts = 3")  # two more claims
            await return_attempt(database, claimed)
        finally:
            await database.close()
    assert await owner.fetchval("SELECT attempts FROM es.job") == 2


async def test_a_shutdown_spends_no_attempt(api: Api, owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    job_id = await requested_job(api)
    await owner.execute(LOCK)
    async with working(database_url) as worker:
        wake(worker, [UUID(job_id)])
        await eventually(lambda: waits_for_lock(owner))
        await worker.stop(0.1)
        assert tuple(await job_row(owner)) == ("queued", 0, False)
    await owner.execute(UNLOCK)
    async with working(database_url) as worker:
        [job] = await done(worker, job_id)
    assert (job.state, job.attempts) == (State.SUCCEEDED, 1)


async def job_row(owner: "Owner[asyncpg.Record]") -> Any:
    return await owner.fetchrow(ROW)


async def test_a_release_that_waits_for_a_lock_is_repeated_and_spends_no_attempt(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    await owner.execute(LOCK)
    holder = await asyncpg.connect(database_url)
    async with working(database_url) as worker:
        wake(worker, [UUID(job_id)])
        await eventually(lambda: waits_for_lock(owner))
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT FROM es.job FOR UPDATE")
        stopping = asyncio.create_task(worker.stop(0.1))

        waiting = (
            "SELECT min(query_start) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%es.job%'"
        )

        async def release_was_repeated() -> bool:
            starts.add(await owner.fetchval(waiting))
            return len(starts - {None}) >= 2

        starts: set[object] = set()
        await eventually(release_was_repeated)
        assert not stopping.done()
        await transaction.rollback()
        await stopping
        assert tuple(await job_row(owner)) == ("queued", 0, False)
    await holder.close()
    await owner.execute(UNLOCK)


async def test_a_release_that_is_sent_twice_returns_one_attempt(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    await owner.execute("UPDATE es.job SET attempts = 2")
    await owner.execute(LOCK)
    async with losing_commits(database_url, 1) as port, working(database_url, through=port) as worker:
        wake(worker, [UUID(job_id)])
        await eventually(lambda: waits_for_lock(owner))
        await worker.stop(0.1)
        assert tuple(await job_row(owner)) == ("queued", 2, False)
    await owner.execute(UNLOCK)


async def test_a_lease_that_expires_while_postgres_is_unreachable_spends_no_attempt(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    job_id = await requested_job(api)
    port = urlsplit(database_url).port
    assert port is not None
    await owner.execute(LOCK)
    with TcpProxy(port) as proxy:
        async with working(database_url, owner="cut-off", lease_s=1, through=proxy.port) as worker:
            wake(worker, [UUID(job_id)])
            await eventually(lambda: waits_for_lock(owner))
            proxy.cut()

            async def expired() -> bool:
                return bool(await owner.fetchval("SELECT lease_until < clock_timestamp() FROM es.job"))

            await eventually(expired)
            async with working(database_url, owner="another", lease_s=5):

                async def taken_over() -> bool:
                    return bool(await owner.fetchval("SELECT owner = 'another' FROM es.job"))

                await eventually(taken_over)
                proxy.heal()

                async def attempt_was_returned() -> bool:
                    return bool(await owner.fetchval("SELECT attempts = 1 FROM es.job"))

                await eventually(attempt_was_returned)
                await owner.execute(UNLOCK)

                async def succeeded() -> bool:
                    return bool(await owner.fetchval("SELECT state = 'succeeded' FROM es.job"))

                await eventually(succeeded)
    assert await owner.fetchval("SELECT attempts FROM es.job") == 1


async def test_a_commit_whose_answer_was_lost_is_reported_as_a_success(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await enrol(owner, 50)
    job_id = await requested_job(api)
    jobs_before = ended_jobs("succeeded")
    caplog.set_level(logging.INFO)
    async with losing_commits(database_url, 1) as port, working(database_url, through=port) as worker:
        [job] = await done(worker, job_id)
        await eventually(lambda: as_async(lambda: ended_jobs("succeeded") == jobs_before + 1))
    assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
    messages = [record.getMessage() for record in caplog.records]
    assert not [line for line in messages if "job.lost" in line]
    assert len([line for line in messages if "job.succeeded" in line]) == 1
    evaluated = "SELECT count(*) FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1'"
    assert await owner.fetchval(evaluated) == 1


async def test_a_failure_whose_commit_was_lost_is_counted_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await requested_job(api)
    jobs_before = ended_jobs("failed")
    caplog.set_level(logging.INFO)
    work = failing(RuleViolation("not by these rules"))
    async with losing_commits(database_url, 1) as port, working(database_url, work=work, through=port) as worker:
        [job] = await done(worker, job_id)
        await eventually(lambda: as_async(lambda: ended_jobs("failed") == jobs_before + 1))
    assert (job.state, job.error, job.attempts) == (State.FAILED, "not by these rules", 1)
    assert not [record for record in caplog.records if "job.lost" in record.getMessage()]
    copies = "SELECT count(*) FROM es.outbox WHERE topic = 'placewire.eligibility.dead-letter'"
    assert await owner.fetchval(copies) == 1


async def as_async(probe: Callable[[], bool]) -> bool:
    return probe()
