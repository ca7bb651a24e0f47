"""The clock of replicas that are killed, a burst of refresh requests during reads, and refreshes by Kafka and HTTP."""

import asyncio
import json
import logging
import random
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from statistics import median

import asyncpg
import httpx
import pytest

from contracts.maintenance import RefreshCause
from contracts.users import Role
from services.maintenance import schedule
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.sizes import sized
from tests.support.system import ROOT, System, token

log = logging.getLogger(__name__)
Owner = asyncpg.Connection
REPLICAS = ("maintenance", "maintenance2", "maintenance3")
RUN_S = sized(small=4, full=60)
KILL_EVERY_S = sized(small=2, full=10)
BURST = sized(small=40, full=1000)
STUDENTS = sized(small=1_000, full=1_000_000)
READ_FOR_S = sized(small=1, full=2)
READ_AT_MOST_S = 0.1
NEVER = {"MATERIALIZED_VIEW_REFRESH_INTERVAL": "0 0 29 2 *", "REFRESH_AFTER_CHANGE_S": "0"}

REQUESTED = """
SELECT event_id, (data ->> 'slot')::timestamptz AS slot, recorded_at FROM es.event
 WHERE type = 'placewire.refresh.requested.v1' AND data ->> 'cause' = 'schedule' ORDER BY slot
"""
UNFINISHED = "SELECT count(*) FROM es.job WHERE finished_at IS NULL"
JOBS = "SELECT id::text, state, result, queued_at FROM es.job WHERE kind = 'refresh'"
REFRESHED = "SELECT count(*) FROM es.event WHERE type = 'placewire.refresh.refreshed.v1'"
API_WAITS = """
SELECT format('%s on %s', mode, relation::regclass) FROM pg_locks l
 WHERE NOT granted AND locktype = 'relation' AND pid IN (
       SELECT pid FROM pg_stat_activity WHERE usename = 'placewire_api' AND datname = current_database())
"""
SERIES = ("summary", "drives-over-time", "registrations-by-drive", "attendance-trend")
SEASON = """
INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at, status,
                    auto_published, attendance_published, min_cgpa)
SELECT i, 1, 'Company ' || i, 'Job ' || i, '', 1, now(), 'posted', false, false, 4 + i % 6
  FROM generate_series(1, 100) i;
INSERT INTO registrations (registration_id, drive_id, student_id, registered_at)
SELECT row_number() OVER (), 1 + student_id % 100, student_id, now() FROM students;
"""


async def nothing_unfinished(owner: "Owner[asyncpg.Record]") -> bool:
    return bool(await owner.fetchval(UNFINISHED) == 0)


async def each_is_done_or_absorbed_by_a_later_run(owner: "Owner[asyncpg.Record]") -> Counter[str]:
    rows = await owner.fetch(JOBS)
    results = {row["id"]: json.loads(row["result"] or "{}") for row in rows}
    counted: Counter[str] = Counter()
    for row in rows:
        assert row["state"] == "succeeded", dict(row)
        began_at = datetime.fromisoformat(results[row["id"]]["began_at"])
        assert row["queued_at"] < began_at
        absorber = results[row["id"]].get("absorbed_by")
        counted["absorbed" if absorber else "refreshed"] += 1
        # The absorbing job may be absorbed itself, if its worker was killed before it recorded the refresh.
        while absorber is not None:
            assert datetime.fromisoformat(results[absorber]["began_at"]) >= began_at
            absorber = results[absorber].get("absorbed_by")
    return counted


async def test_replicas_record_each_slot_once_while_one_is_killed_repeatedly(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    settings = {"MATERIALIZED_VIEW_REFRESH_INTERVAL": "* * * * * *", "REFRESH_AFTER_CHANGE_S": "0", "JOB_LEASE_S": "2"}
    system.start_together(*REPLICAS, **settings)
    began = await owner.fetchval("SELECT clock_timestamp()")
    rng = random.Random(7)
    for _ in range(RUN_S // KILL_EVERY_S):
        await asyncio.sleep(KILL_EVERY_S)
        name = rng.choice(REPLICAS)
        system.processes[name].kill()
        await asyncio.to_thread(system.start_together, name, **settings)
    ended = await owner.fetchval("SELECT clock_timestamp()")

    async def slots_are_recorded_to_the_end() -> bool:
        # Another replica records the slots that a killed replica has missed.
        newest = max((row["slot"] for row in await owner.fetch(REQUESTED)), default=began)
        return bool(newest >= ended - timedelta(seconds=1))

    await eventually(slots_are_recorded_to_the_end)
    for name in REPLICAS:
        system.processes[name].kill()
    system.start_together("maintenance", **NEVER)

    async def newest_slot_of_never_is_recorded() -> bool:
        # The process records this slot, which also requests a refresh, soon after it is ready.
        return any(row["slot"].year < began.year for row in await owner.fetch(REQUESTED))

    await eventually(newest_slot_of_never_is_recorded)
    await eventually(lambda: nothing_unfinished(owner), within_s=60)

    requested = [row for row in await owner.fetch(REQUESTED) if row["slot"].year == began.year]
    slots = [row["slot"] for row in requested]
    first, last = began + timedelta(seconds=1), ended - timedelta(seconds=1)
    expected, slot = [], first.replace(microsecond=0)
    while slot <= last:
        expected.append(slot)
        slot += timedelta(seconds=1)
    assert len(slots) == len(set(slots))
    assert [slot for slot in slots if first.replace(microsecond=0) <= slot <= last] == expected
    assert [row["event_id"] for row in requested] == [
        schedule.refresh_id(RefreshCause.SCHEDULE, slot) for slot in slots
    ]
    assert all(row["slot"] <= row["recorded_at"] for row in requested)
    counted = await each_is_done_or_absorbed_by_a_later_run(owner)
    log.info("%s slots in %.0f s: %s", len(slots), (ended - began).total_seconds(), dict(counted))


@pytest.mark.full_only
@pytest.mark.damages
async def test_a_burst_of_requests_causes_two_refreshes_at_most_and_no_reader_waits(
    kafka_system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    """Readers and requests use different replicas of the API, so that only a refresh can make readers wait."""
    system = kafka_system
    await enrol(owner, STUDENTS)
    await owner.execute(SEASON)
    system.start_together("relay", "maintenance", "maintenance2", **NEVER)
    system.start_together("api", "api2", REQUESTS_BURST="100000", REQUESTS_PER_SECOND="10000")
    await system.until_bus_is("closed", "maintenance")
    await eventually(lambda: nothing_unfinished(owner), within_s=60)
    refreshed = await owner.fetchval(REFRESHED)
    port = system.ports["api2"]
    async with system.client() as client:
        async with reader(port):  # opens the connections of the API to the database
            await asyncio.sleep(READ_FOR_S)
        async with reader(port) as before:
            await asyncio.sleep(READ_FOR_S)
        running, release = await hold_one_running(owner, client)
        async with lock_waits(system.database_url) as waits, reader(port) as meanwhile:
            answers = await request_refreshes(client, BURST)
            await release()
            await eventually(lambda: nothing_unfinished(owner), within_s=60)
    assert {answer.status_code for answer in answers} == {202}
    assert 2 <= await owner.fetchval(REFRESHED) - refreshed <= 1 + 2
    assert {running, *(answer.json()["refresh_id"] for answer in answers)} <= {
        row["id"] for row in await owner.fetch(JOBS)
    }
    assert waits == [], "a reader waited for a refresh"
    counted = await each_is_done_or_absorbed_by_a_later_run(owner)
    took_s = await owner.fetchval("SELECT sum(duration_s) FROM view_refresh")
    log.info("%s requests: %s; the last refresh took %.2f s", BURST, dict(counted), took_s)
    for when, reads in (("before", before), ("meanwhile", meanwhile)):
        log.info(
            "%s reads %s: median %.0f ms, the slowest %.0f ms",
            len(reads), when, median(reads) * 1000, max(reads) * 1000,
        )  # fmt: skip
    if sized(small=0, full=1):
        assert max(meanwhile) < READ_AT_MOST_S


async def hold_one_running(
    owner: "Owner[asyncpg.Record]", client: httpx.AsyncClient
) -> tuple[str, Callable[[], Awaitable[None]]]:
    """Start a refresh that waits for a lock after it has its snapshot. Return its id and a function to release it."""
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY drives_over_time")
    running: str = (await client.post("/api/analytics/refresh")).json()["refresh_id"]

    async def waits_for_the_lock() -> bool:
        return bool(
            await owner.fetchval(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'drives_over_time'::regclass AND NOT granted)"
            )
        )

    await eventually(waits_for_the_lock)
    return running, transaction.rollback


async def request_refreshes(client: httpx.AsyncClient, count: int) -> list[httpx.Response]:
    semaphore = asyncio.Semaphore(20)

    async def request_refresh() -> httpx.Response:
        async with semaphore:
            return await client.post("/api/analytics/refresh")

    return await asyncio.gather(*(request_refresh() for _ in range(count)))


@asynccontextmanager
async def reader(port: int) -> AsyncIterator[list[float]]:
    """Read the dashboards until the block ends. Yield a list that then has the seconds of each read."""
    took_s: list[float] = []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.dashboard_reader", str(port), token(Role.HEAD), *SERIES,
        stdin=PIPE, stdout=PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    yield took_s
    output, _ = await process.communicate(b"")
    assert process.returncode == 0
    took_s.extend(json.loads(output))


@asynccontextmanager
async def lock_waits(database_url: str) -> AsyncIterator[list[str]]:
    """Yield a list of the locks for which processes of the API wait during the block. Samples every 5 ms."""
    seen: list[str] = []
    connection = await asyncpg.connect(database_url)

    async def watch() -> None:
        while True:
            seen.extend(row[0] for row in await connection.fetch(API_WAITS))
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await connection.close()


async def test_a_refresh_by_http(system: System, owner: "Owner[asyncpg.Record]") -> None:
    system.start_together("maintenance", "api", REFRESH_AFTER_CHANGE_S="0")
    await refreshed_by("http", system, owner)


async def test_a_refresh_by_kafka(live: System, live_owner: "Owner[asyncpg.Record]") -> None:
    await refreshed_by("kafka", live, live_owner)


async def refreshed_by(delivery: str, system: System, owner: "Owner[asyncpg.Record]") -> None:
    async with system.client() as client:
        answer = await client.post("/api/analytics/refresh", headers={"Prefer": "wait=20"})
    assert answer.status_code == 200
    done = answer.json()
    assert (done["job"]["state"], done["job"]["delivery"]) == ("succeeded", delivery)
    assert done["as_of"][:19] >= done["job"]["result"]["began_at"][:19]
    last = await owner.fetchval("SELECT id::text FROM es.job WHERE requested_by IS NOT NULL ORDER BY seq DESC LIMIT 1")
    assert last == done["refresh_id"]
