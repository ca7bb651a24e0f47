"""Timestamps from a database clock that was an hour ahead delay nothing after the clock is corrected."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import httpx
import pytest

from chassis.messaging import breaker, kafka, outbox_watch, probe
from chassis.messaging.breaker import CircuitBreakers
from chassis.postgres.database import Database
from cli.doctor import queue
from contracts import topics
from contracts.jobs import Channel, Service, State
from services.maintenance import sql
from tests.conftest import Api
from tests.integration.test_worker import requested_job
from tests.support.bulk_students import enrol
from tests.support.job_worker import done, waited, working
from tests.support.system import as_role

Owner = asyncpg.Connection
AHEAD = "clock_timestamp() + interval '1 h'"
SOON_S = 5.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    api_database = Database(as_role(database_url, "placewire_api"), pool_size=4, application_name="test")
    yield api_database
    await api_database.close()


async def sampled(database: Database) -> breaker.Sample:
    async with database.connection() as connection:
        [row] = await connection.fetch(breaker.SAMPLE, [Service.ELIGIBILITY])
    return breaker.Sample(row["probe_age_s"], row["outbox_age_s"])


@pytest.mark.parametrize("attempts", [0, 1], ids=["never-tried", "tried"])
async def test_a_job_with_a_lease_in_the_future_is_claimed_within_seconds(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, attempts: int
) -> None:
    await enrol(owner, 20)
    job_id = await requested_job(api)
    await owner.execute(
        f"UPDATE es.job SET state = 'running', attempts = $1, owner = 'gone', lease_until = {AHEAD}",
        attempts,
    )
    started_s = time.monotonic()
    async with working(database_url) as worker:
        job = await waited(worker, UUID(job_id), timeout_s=20)
    assert job is not None
    assert job.state is State.SUCCEEDED
    assert time.monotonic() - started_s < SOON_S


async def test_a_job_with_a_valid_lease_is_not_claimed(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    held, free = await requested_job(api), await requested_job(api)
    await owner.execute(
        "UPDATE es.job SET state = 'running', attempts = 1, owner = 'busy',"
        " lease_until = clock_timestamp() + interval '60 s' WHERE id = $1",
        UUID(held),
    )
    async with working(database_url, lease_s=60) as worker:
        await done(worker, free)
    assert await owner.fetchval("SELECT owner FROM es.job WHERE id = $1", UUID(held)) == "busy"


async def test_the_breaker_opens_for_an_outbox_row_queued_in_the_future(
    api: Api, owner: "Owner[asyncpg.Record]", database: Database
) -> None:
    await requested_job(api)
    await owner.execute("INSERT INTO es.probe VALUES ('eligibility', now(), now())")
    assert (await sampled(database)).good
    await owner.execute(f"UPDATE es.outbox SET queued_at = {AHEAD}")
    assert not (await sampled(database)).good


async def test_a_probe_from_the_future_does_not_close_the_breaker(
    owner: "Owner[asyncpg.Record]", database: Database, database_url: str
) -> None:
    await owner.execute(f"INSERT INTO es.probe VALUES ('eligibility', {AHEAD}, {AHEAD})")
    breakers = CircuitBreakers(database)
    await breakers.look()
    assert not breakers.is_closed(Service.ELIGIBILITY)
    worker = Database(as_role(database_url, "placewire_eligibility"), pool_size=1, application_name="test")
    async with worker.connection() as connection:
        assert not await connection.fetchval(kafka.PROBE_IS_FRESH, Service.ELIGIBILITY)
        # The next probe from Kafka counts, although its time is earlier.
        await connection.execute(probe.STAMP, Service.ELIGIBILITY, await owner.fetchval("SELECT clock_timestamp()"))
        assert await connection.fetchval(kafka.PROBE_IS_FRESH, Service.ELIGIBILITY)
    await worker.close()
    assert (await sampled(database)).good
    # An older probe that arrives late does not count.
    async with database.connection() as connection:
        newest = await connection.fetchval("SELECT sent_at FROM es.probe")
    await owner.execute(probe.STAMP, "eligibility", newest.replace(year=newest.year - 1))
    assert await owner.fetchval("SELECT sent_at FROM es.probe") == newest


async def test_a_consumer_without_records_knows_whether_the_relay_sends(
    owner: "Owner[asyncpg.Record]",
) -> None:
    assert await owner.fetchval(kafka.RELAY_SENDS, "eligibility"), "the outbox is empty"
    await owner.execute(
        f"INSERT INTO es.outbox (lane, topic, key, queued_at) VALUES (0, $1, 'probe', {AHEAD})", topics.PROBE.name
    )
    assert not await owner.fetchval(kafka.RELAY_SENDS, "eligibility")
    await owner.execute(f"INSERT INTO es.probe VALUES ('exporter', {AHEAD}, now())")
    assert not await owner.fetchval(kafka.RELAY_SENDS, "eligibility")
    await owner.execute("UPDATE es.probe SET sent_at = now()")
    assert await owner.fetchval(kafka.RELAY_SENDS, "eligibility")


async def test_gauges_and_doctor_report_a_future_timestamp_as_infinitely_old(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await requested_job(api)
    await owner.execute(f"UPDATE es.job SET queued_at = {AHEAD}")
    await owner.execute(f"UPDATE es.outbox SET queued_at = {AHEAD}")
    await owner.execute(f"INSERT INTO es.probe VALUES ('exporter', {AHEAD}, {AHEAD})")
    await owner.execute(f"UPDATE view_refresh SET refreshed_at = {AHEAD}")
    [jobs] = await owner.fetch(sql.UNFINISHED_JOBS)
    assert jobs["oldest_s"] == float("inf")
    assert {row["age_s"] for row in await owner.fetch(outbox_watch.BACKLOG)} == {float("inf")}
    assert {row["staleness_s"] for row in await owner.fetch(sql.VIEW_AGES)} == {float("inf")}
    findings = [finding async for finding in queue.look(database_url)]
    assert {finding.state.value for finding in findings if finding.what in ("bus", "outbox")} == {"wrong"}


async def test_an_answer_from_before_the_correction_of_the_clock_is_outdated(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute(f"UPDATE view_refresh SET refreshed_at = {AHEAD}")
    ahead = await api.get("/api/analytics/summary")
    await owner.execute("UPDATE view_refresh SET refreshed_at = clock_timestamp()")
    conditional_headers = {"If-Modified-Since": ahead.headers["last-modified"]}
    now = await api.get("/api/analytics/summary", headers=conditional_headers)
    assert now.status_code == 200
    known = {"If-Modified-Since": now.headers["last-modified"]}
    assert (await api.get("/api/analytics/summary", headers=known)).status_code == 304
    assert isinstance(now, httpx.Response)


async def test_a_job_queued_in_the_future_runs_at_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    jobs = [await requested_job(api) for _ in range(3)]
    await owner.execute(f"UPDATE es.job SET queued_at = {AHEAD}")
    async with working(database_url) as worker:
        ended = await asyncio.wait_for(done(worker, *jobs, channel=Channel.POLL), 20)
    assert {job.state for job in ended} == {State.SUCCEEDED}
