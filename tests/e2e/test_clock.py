"""The clock of three replicas that are killed, a burst of requests beside readers, and both roads of a refresh."""

import asyncio
import json
import random
from collections import Counter
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import asyncpg
import httpx

from contracts.maintenance import RefreshCause
from services.maintenance import schedule
from tests.enrolment import enrol
from tests.eventually import eventually
from tests.sizes import sized
from tests.system import System

Owner = asyncpg.Connection
REPLICAS = ("maintenance", "maintenance2", "maintenance3")
RUN_S = sized(small=12, full=60)
KILL_EVERY_S = sized(small=3, full=10)
BURST = sized(small=200, full=1000)
STUDENTS = sized(small=20_000, full=1_000_000)
READ_AT_MOST_S = 0.1

REQUESTED = """
SELECT event_id, (data ->> 'slot')::timestamptz AS slot, recorded_at FROM es.event
 WHERE type = 'placewire.refresh.requested.v1' AND data ->> 'cause' = 'schedule' ORDER BY slot
"""
UNFINISHED = "SELECT count(*) FROM es.job WHERE finished_at IS NULL"
JOBS = "SELECT id::text, state, result, queued_at FROM es.job WHERE kind = 'refresh'"
REFRESHED = "SELECT count(*) FROM es.event WHERE type = 'placewire.refresh.refreshed.v1'"
SERIES = ("summary", "drives-over-time", "registrations-by-drive", "attendance-trend")
SEASON = """
INSERT INTO drives (drive_id, version, company_name, job_title, job_description, posted_by, created_at, status,
                    auto_published, attendance_published, min_cgpa)
SELECT i, 1, 'Company ' || i, 'Job ' || i, '', 1, now(), 'posted', false, false, 4 + i % 6 FROM generate_series(1, 100) i;
INSERT INTO registrations (registration_id, drive_id, student_id, registered_at)
SELECT row_number() OVER (), 1 + student_id % 100, student_id, now() FROM students;
"""


async def nothing_unfinished(owner: "Owner[asyncpg.Record]") -> bool:
    return await owner.fetchval(UNFINISHED) == 0


async def each_is_done_or_absorbed_by_a_later_run(owner: "Owner[asyncpg.Record]") -> Counter[str]:
    jobs = {row["id"]: (row, json.loads(row["result"])) for row in await owner.fetch(JOBS)}
    counted: Counter[str] = Counter()
    for row, result in jobs.values():
        assert row["state"] == "succeeded", dict(row)
        began_at = datetime.fromisoformat(result["began_at"])
        assert row["queued_at"] < began_at
        by = result.get("absorbed_by")
        counted["absorbed" if by else "refreshed"] += 1
        if by:
            assert "absorbed_by" not in jobs[by][1], "absorbed by one that refreshed"
            assert jobs[by][1]["began_at"] == result["began_at"]
    return counted


async def test_three_replicas_of_which_one_is_killed_again_and_again_record_each_slot_once(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    settings = {
        "MATERIALIZED_VIEW_REFRESH_INTERVAL": "* * * * * *",
        "REFRESH_AFTER_CHANGE_S": "0",
        "JOB_LEASE_S": "2",
    }
    for name in ("relay", "api"):
        system.start(name)
    for name in REPLICAS:
        system.start(name, **settings)
    began = await owner.fetchval("SELECT clock_timestamp()")
    rng = random.Random(7)
    for _ in range(RUN_S // KILL_EVERY_S):
        await asyncio.sleep(KILL_EVERY_S)
        name = rng.choice(REPLICAS)
        system.processes[name].kill()
        await asyncio.to_thread(system.start, name, **settings)
    ended = await owner.fetchval("SELECT clock_timestamp()")
    for name in REPLICAS[1:]:
        system.processes[name].stop()
    system.processes[REPLICAS[0]].kill()
    system.start(REPLICAS[0], MATERIALIZED_VIEW_REFRESH_INTERVAL="0 0 29 2 *", REFRESH_AFTER_CHANGE_S="0")
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
    print(f"{len(slots)} slots in {(ended - began).total_seconds():.0f} s: {dict(counted)}")


async def test_a_burst_of_requests_causes_two_refreshes_at_most_and_no_reader_waits(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, STUDENTS)
    await owner.execute(SEASON)
    try:
        await _burst(system, owner)
    finally:
        await owner.execute("TRUNCATE drives, registrations, students CASCADE")


async def _burst(system: System, owner: "Owner[asyncpg.Record]") -> None:
    never = {"MATERIALIZED_VIEW_REFRESH_INTERVAL": "0 0 29 2 *", "REFRESH_AFTER_CHANGE_S": "0"}
    for name in ("relay", "api", "maintenance", "maintenance2"):
        system.start(name, **(never if name.startswith("maintenance") else {"REQUESTS_BURST": "10000"}))
    await eventually(lambda: nothing_unfinished(owner))
    refreshed = await owner.fetchval(REFRESHED)
    async with system.client() as client:
        asked = asyncio.create_task(_hold_one_running(owner, client))
        running, release = await asked
        reads, done = [], asyncio.Event()
        readers = [asyncio.create_task(_read(client, reads, done)) for _ in range(4)]
        answers = await _ask(client, BURST)
        assert {answer.status_code for answer in answers} <= {200, 202}
        await release()
        await eventually(lambda: nothing_unfinished(owner), within_s=60)
        done.set()
        await asyncio.gather(*readers)
    assert await owner.fetchval(REFRESHED) - refreshed <= 1 + 2
    counted = await each_is_done_or_absorbed_by_a_later_run(owner)
    assert counted.total() >= BURST + 1
    assert running in {row["id"] for row in await owner.fetch(JOBS)}
    worst = max(reads)
    print(f"{BURST} requests: {dict(counted)}; {len(reads)} reads, the slowest {worst * 1000:.0f} ms")
    if sized(small=0, full=1):
        assert worst < READ_AT_MOST_S


async def _hold_one_running(owner: "Owner[asyncpg.Record]", client: httpx.AsyncClient) -> tuple[str, Any]:
    """A refresh that has its snapshot and goes on when it is let."""
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY drives_over_time")
    running: str = (await client.post("/api/analytics/refresh")).json()["refresh_id"]

    async def holds() -> bool:
        return bool(
            await owner.fetchval(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'drives_over_time'::regclass AND NOT granted)"
            )
        )

    await eventually(holds)
    return running, transaction.rollback


async def _ask(client: httpx.AsyncClient, count: int) -> list[httpx.Response]:
    gate = asyncio.Semaphore(20)

    async def one() -> httpx.Response:
        async with gate:
            return await client.post("/api/analytics/refresh")

    return await asyncio.gather(*(one() for _ in range(count)))


async def _read(client: httpx.AsyncClient, reads: list[float], done: asyncio.Event) -> None:
    while not done.is_set():
        for series in SERIES:
            began = monotonic()
            answer = await client.get(f"/api/analytics/{series}")
            assert answer.status_code == 200, answer.text
            reads.append(monotonic() - began)
        await asyncio.sleep(0.02)


async def test_a_refresh_by_the_bus_and_one_by_http(system: System, owner: "Owner[asyncpg.Record]") -> None:
    system.start("maintenance", REFRESH_AFTER_CHANGE_S="0")
    system.start("api")
    async with system.client() as client:
        by_http = (await client.post("/api/analytics/refresh")).json()
        assert (by_http["job"]["state"], by_http["job"]["delivery"]) == ("succeeded", "http")
        assert by_http["as_of"][:19] >= by_http["job"]["result"]["began_at"][:19]
        system.start("relay")

        async def trusted() -> bool:
            found: str = (await client.get("/readyz")).json()["bus"]["maintenance"]
            return found == "closed"

        await eventually(trusted, within_s=60)
        answer = await client.post("/api/analytics/refresh", headers={"Prefer": "wait=20"})
        assert answer.status_code == 200
        by_bus = answer.json()
        assert (by_bus["job"]["state"], by_bus["job"]["delivery"]) == ("succeeded", "bus")
        assert by_bus["as_of"] > by_http["as_of"]
    rows = await owner.fetch("SELECT id::text, via FROM es.job WHERE asked_by IS NOT NULL ORDER BY seq")
    assert [tuple(row) for row in rows] == [(by_http["refresh_id"], "http"), (by_bus["refresh_id"], "bus")]
