"""Under overload without Kafka, requests are refused before they begin, and memory does not grow."""

import asyncio
import logging

import asyncpg
import httpx
import pytest

from contracts.users import Role
from tests.support.eventually import eventually
from tests.support.open_loop import offered, post
from tests.support.sizes import sized
from tests.support.system import System, bearer

Owner = asyncpg.Connection
PER_SECOND = sized(small=150, full=1000)
SECONDS = sized(small=2, full=60)
USERS = 200
# Resident memory varies: arenas of the allocator, connections of the pool, the time of the last garbage collection.
FLAT_BYTES = 48 * 1024 * 1024
log = logging.getLogger(__name__)


@pytest.mark.full_only
@pytest.mark.timeout(400)
async def test_memory_does_not_grow_under_an_open_loop_of_requests_without_kafka(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    api = system.start("api")
    system.start("exporter")
    callers = [bearer(Role.HEAD, 1_000_000 + number) for number in range(USERS)]
    body = {"kind": "finished_drives"}
    requests = [post("/api/exports", body, callers[number % USERS]) for number in range(PER_SECOND * SECONDS)]
    port = system.ports["api"]
    await offered(port, requests[: PER_SECOND * 2], per_second=PER_SECOND)  # fills pools and caches
    before, highest = api.rss_bytes(), 0
    counted = await owner.fetchval("SELECT count(*) FROM exports")

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, api.rss_bytes())
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    outcomes = await offered(port, requests, per_second=PER_SECOND)
    watching.cancel()
    log.warning(
        "%s %s, %.0f to %.0f MiB", dict(outcomes.statuses), dict(outcomes.unanswered), before / 2**20, highest / 2**20
    )

    # 0 stands for a client that gave up while it waited in the kernel's queue. No other status may occur.
    assert outcomes.statuses.keys() <= {200, 202, 503, 0}
    assert outcomes.without_retry_after == 0
    assert outcomes.accepted
    # Requests that got 503 have committed nothing. So each export was accepted, or its client gave up.
    done = await owner.fetchval("SELECT count(*) FROM exports") - counted
    assert len(outcomes.accepted) <= done <= len(outcomes.accepted) + outcomes.statuses[0]
    assert highest - before < FLAT_BYTES
    async with system.client() as client:

        async def answers() -> bool:
            return (await client.get("/api/drives")).status_code == 200

        await eventually(answers, within_s=30)


async def test_a_request_beyond_the_limit_is_refused_at_once_but_health_checks_are_answered(
    system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    system.start("api", REQUESTS_AT_ONCE="3")
    system.start("eligibility", JOBS_AT_ONCE="3")
    await owner.execute("SELECT pg_advisory_lock(hashtextextended('evaluation:' || n, 0)) FROM generate_series(1, 9) n")
    drive = {"company_name": "Acme", "job_title": "SDE", "auto_calc": True}
    async with system.client() as client:
        waiting = [asyncio.create_task(client.post("/api/drives", json=drive)) for _ in range(3)]

        async def all_running() -> bool:
            return bool(await owner.fetchval("SELECT count(*) = 3 FROM es.job WHERE state = 'running'"))

        await eventually(all_running)
        refused: httpx.Response = await client.post("/api/drives", json=drive)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "Nothing was done" in refused.json()["message"]
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200
        assert await owner.fetchval("SELECT count(*) FROM drives") == 3
        await owner.execute("SELECT pg_advisory_unlock_all()")
        assert {(await answer).status_code for answer in waiting} == {200}
        assert (await client.get("/api/drives")).status_code == 200
