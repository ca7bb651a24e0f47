"""Exports leave a complete file or none when processes are killed, suspended, cancelled or out of disk space."""

import asyncio
import hashlib
import logging
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from contracts.users import Role
from devstack.processes import Process
from tests.support.eventually import eventually
from tests.support.exporting import crowded_drive, recorded, stored
from tests.support.leftovers import for_the_session
from tests.support.sizes import sized
from tests.support.system import System, bearer

Owner = asyncpg.Connection
NewFiles = Callable[[], list[str]]
log = logging.getLogger(__name__)
ROWS = sized(small=50_000, full=100_000)
COMPLETED = "SELECT count(*) FROM es.event WHERE type = 'placewire.export.completed.v1'"
JOB = """
SELECT state, attempts, error, dead_lettered, result, progress FROM es.job
 WHERE kind = 'export' ORDER BY seq DESC LIMIT 1
"""


@pytest.fixture(scope="module")
def drive_id(module_system: System) -> int:
    """Return a drive with ``ROWS`` registered students. Only the API runs, without Kafka."""

    async def made() -> int:
        owner = await asyncpg.connect(module_system.database_url)
        drive_id = await crowded_drive(module_system, owner, ROWS)
        await owner.close()
        return drive_id

    with for_the_session():
        return asyncio.run(made())


@pytest.fixture
def system(module_system: System, drive_id: int) -> Iterator[System]:
    """Yield the system of ``drive_id``. Kill its exporters after the test."""
    yield module_system
    for name, process in module_system.processes.items():
        if name.startswith("exporter"):
            process.kill()


@pytest_asyncio.fixture
async def owner(module_system: System) -> AsyncIterator["Owner[asyncpg.Record]"]:
    connection = await asyncpg.connect(module_system.database_url)
    yield connection
    await connection.close()


@pytest.fixture
def new_files(system: System) -> NewFiles:
    """Return a function that returns the files that were stored since the beginning of the test."""
    before = set(stored(system.folder))
    return lambda: [name for name in stored(system.folder) if name not in before]


async def export(client: httpx.AsyncClient, drive_id: int, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/registrations/{drive_id}/export", json=body)
    assert answer.status_code in (200, 202), answer.text
    content: dict[str, Any] = answer.json()
    return content


async def settled(owner: "Owner[asyncpg.Record]", *, within_s: float = 60) -> asyncpg.Record:
    async def ended() -> asyncpg.Record | None:
        row = await owner.fetchrow(JOB)
        return row if row and row["state"] in ("succeeded", "failed", "cancelled") else None

    row = await eventually(ended, within_s=within_s)
    assert row is not None
    return row


async def caught_midway(worker: Process, new_files: NewFiles) -> None:
    """Suspend ``worker`` while its file is partly written."""
    deadline = time.monotonic() + 20
    while not any("#" in name for name in new_files()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
    worker.suspend()
    assert all("#" in name for name in new_files()), "too late: the file is complete"


async def file_of(client: httpx.AsyncClient, export_id: str) -> bytes:
    completed = (await client.get(f"/api/exports/{export_id}")).json()
    answer = await client.get(completed["file"])
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == completed["sha256"]
    return answer.content


async def test_without_kafka_the_response_has_the_completed_export(system: System, drive_id: int) -> None:
    system.start("exporter")
    async with system.client() as client:
        answer = await client.post(f"/api/registrations/{drive_id}/export", json={"columns": ["name", "email"]})
        assert answer.status_code == 200
        done = answer.json()
        assert (done["state"], done["rows"], done["job"]["delivery"]) == ("completed", ROWS, "http")
        assert (await client.get(done["file"])).content.count(b"\n") == ROWS + 1


async def test_kafka_wakes_the_exporter(live: System) -> None:
    async with live.client() as client:
        answer = await client.post("/api/exports", json={"kind": "finished_drives"}, headers={"Prefer": "wait=10"})
    assert (answer.status_code, answer.json()["job"]["delivery"]) == (200, "kafka")
    assert answer.json()["state"] == "completed"


async def test_a_killed_exporter_starts_over_and_leaves_one_complete_file(
    system: System, drive_id: int, owner: "Owner[asyncpg.Record]", new_files: NewFiles
) -> None:
    completed = await owner.fetchval(COMPLETED)
    worker = system.start("exporter")
    async with system.client() as client:
        asking = asyncio.create_task(export(client, drive_id))
        await caught_midway(worker, new_files)
        worker.kill()
        assert new_files() != []
        system.start("exporter")
        job = await settled(owner)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        done = await asking
        content = await file_of(client, done["export_id"])
    assert new_files() == [await recorded(owner, done["export_id"])]
    assert content.count(b"\n") == ROWS + 1
    assert await owner.fetchval(COMPLETED) - completed == 1


@pytest.mark.full_only
async def test_a_suspended_exporter_whose_lease_has_expired_commits_nothing(
    system: System, drive_id: int, owner: "Owner[asyncpg.Record]", new_files: NewFiles
) -> None:
    completed = await owner.fetchval(COMPLETED)
    worker = system.start("exporter")
    async with system.client() as client:
        asking = asyncio.create_task(export(client, drive_id))
        await caught_midway(worker, new_files)
        system.start("exporter2")
        job = await settled(owner)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        worker.resume()

        async def logged() -> bool:
            return "job.lost" in worker.log_tail()

        await eventually(logged)
        done = await asking
        await file_of(client, done["export_id"])
    assert new_files() == [await recorded(owner, done["export_id"])]
    assert await owner.fetchval(COMPLETED) - completed == 1


async def test_a_cancelled_export_leaves_no_file(
    system: System, drive_id: int, owner: "Owner[asyncpg.Record]", new_files: NewFiles
) -> None:
    completed = await owner.fetchval(COMPLETED)
    worker = system.start("exporter")
    async with system.client() as client:
        asking = asyncio.create_task(export(client, drive_id))
        await caught_midway(worker, new_files)
        job_id = await owner.fetchval("SELECT id FROM es.job WHERE kind = 'export' AND state = 'running'")
        assert (await client.post(f"/api/jobs/{job_id}/cancel")).json()["state"] == "cancelled"
        worker.resume()

        async def nothing_left() -> bool:
            return new_files() == []

        await eventually(nothing_left)
        answered = await asking
    assert (answered["state"], answered["job"]["state"]) == ("cancelled", "cancelled")
    assert await owner.fetchval(COMPLETED) - completed == 0


async def test_a_full_disk_is_reported_and_leaves_no_file(
    system: System, drive_id: int, owner: "Owner[asyncpg.Record]", new_files: NewFiles
) -> None:
    worker = system.start("exporter", STORAGE_TRIES="2")
    _, limit = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (100_000, limit))  # the largest file that it may write
    async with system.client() as client:
        answered = await export(client, drive_id)
        assert answered["reason"] == "The storage has no space left for this file. Tried 2 times."
        assert (answered["state"], answered["job"]["state"]) == ("failed", "failed")
        job = await settled(owner)
        assert (job["dead_lettered"], job["error"]) == (True, answered["reason"])
        assert new_files() == []
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (limit, limit))
        assert (await export(client, drive_id))["state"] == "completed"


async def test_the_exporter_does_not_start_with_an_unusable_storage(system: System, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url, message in (((tmp_path / "file").as_uri(), "STORAGE_URL is wrong"), ("ftp://x/y", "STORAGE_URL is wrong")):
        process = system.start("exporter", wait=False, STORAGE_URL=url)

        async def ended(process: Process = process) -> bool:
            return not process.running

        await eventually(ended)
        last = process.log_tail().strip().splitlines()[-1]
        assert last.startswith(message), last


@pytest.mark.full_only
async def test_ten_exports_at_once_do_not_slow_down_the_api(
    system: System, drive_id: int, owner: "Owner[asyncpg.Record]", new_files: NewFiles
) -> None:
    completed = await owner.fetchval(COMPLETED)
    system.start("exporter")
    ended: list[float] = []
    async with system.client() as client, polling(system) as latencies:
        began = time.perf_counter()

        async def export_as(role: Role) -> None:
            answer = await client.post(f"/api/registrations/{drive_id}/export", headers=bearer(role, 7))
            if answer.status_code == 202:
                await eventually(lambda: is_done(client, answer.json()["export_id"]), within_s=110)
            ended.append(time.perf_counter() - began)

        await asyncio.gather(*(export_as(Role.HEAD) for _ in range(10)))
    assert await owner.fetchval(COMPLETED) - completed == 10
    assert len(new_files()) == 10
    polls = sorted(latencies)
    p99 = polls[int(len(polls) * 0.99)]
    log.info("ten exports: the first after %.2f s, the last after %.2f s", ended[0], ended[-1])
    log.info("meanwhile %s polls: p99 %.0f ms", len(polls), p99 * 1000)
    assert p99 < 1


async def is_done(client: httpx.AsyncClient, export_id: str) -> bool:
    return bool((await client.get(f"/api/exports/{export_id}")).json()["state"] == "completed")


@asynccontextmanager
async def polling(system: System) -> AsyncIterator[list[float]]:
    """Poll the list of drives until the block ends. Yield a list of the seconds of each response."""
    latencies: list[float] = []

    async def poll() -> None:
        async with system.client() as client:
            while True:
                began = time.perf_counter()
                assert (await client.get("/api/drives")).status_code == 200
                latencies.append(time.perf_counter() - began)
                await asyncio.sleep(0.01)

    task = asyncio.create_task(poll())
    try:
        yield latencies
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert latencies
