"""A process that stops releases the jobs that it cannot finish. A rolling restart loses and repeats nothing."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.users import Role
from tests.e2e.test_without_kafka import request_each_kind, until_clock_is_quiet
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.publications import settled
from tests.support.retrying_client import FILE, PUBLICATION, REFRESH, Ledger, head_of_its_own, insisting
from tests.support.sizes import sized
from tests.support.system import QUIET_CLOCK, System, bearer

Owner = asyncpg.Connection
ROUNDS = sized(small=1, full=3)
WORKERS = ("eligibility", "exporter", "maintenance")
# Restarted together in two steps, so that one replica of the API is always running.
RESTARTED = (("api", *WORKERS), ("relay", "api2"))
# Locks for which jobs wait: an evaluation waits for its drive's lock, an export and a refresh for their tables.
HOLD = """
SELECT pg_advisory_xact_lock(hashtextextended('evaluation:' || n, 0)) FROM generate_series(1, 5) n;
LOCK TABLE finished_drives, view_refresh IN ACCESS EXCLUSIVE MODE;
"""
STATES = "SELECT kind, state, attempts FROM es.job WHERE finished_at IS NULL"
# Without jobs that the clock has requested.
JOBS = """
SELECT j.id::text, j.state FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE coalesce(e.data ->> 'cause', 'request') = 'request'
"""
EXPORTS = "SELECT export_id::text, path FROM exports WHERE state = 'completed'"


@pytest.mark.timeout(180)
async def test_sigterm_in_the_middle_of_each_kind_of_job_spends_no_attempt(
    system: System, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 50)
    system.start_together(*WORKERS, "api", SHUTDOWN_GRACE_S="1", JOB_LEASE_S="60", **QUIET_CLOCK)
    await until_clock_is_quiet(owner)
    holder = await asyncpg.connect(database_url)
    held = holder.transaction()
    await held.start()
    await holder.execute(HOLD)
    async with system.client() as client:
        asking = asyncio.create_task(request_each_kind(system, client))

        async def states(state: str) -> bool:
            rows = await owner.fetch(STATES)
            return len(rows) == 3 and all(row["state"] == state for row in rows)

        await eventually(lambda: states("running"), within_s=25)
        await asyncio.gather(*(asyncio.to_thread(system.processes[name].stop) for name in WORKERS))
        assert {tuple(row)[1:] for row in await owner.fetch(STATES)} == {("queued", 0)}
        await held.rollback()
        await holder.close()
        for name in WORKERS:
            system.start(name, wait=True, **QUIET_CLOCK)
        for job_id in (await asking).values():
            job = await settled(owner, job_id)
            assert (job["state"], job["attempts"]) == ("succeeded", 1)


@pytest.mark.full_only
@pytest.mark.timeout(240)
async def test_a_rolling_restart_of_every_service_under_load_loses_and_repeats_nothing(
    kafka_system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    system = kafka_system
    await enrol(owner, 50)
    system.start_together(*WORKERS, "relay", "api", "api2")
    await system.until_bus_is_trusted()
    ledger, stop = Ledger(), asyncio.Event()
    async with system.client("api") as first, system.client("api2") as second, asyncio.TaskGroup() as tasks:
        caller = bearer(Role.HEAD, await head_of_its_own(first))
        first.headers.update(caller)
        second.headers.update(caller)
        for number in range(3):
            clients = [first, second] if number % 2 else [second, first]
            wanted = (PUBLICATION, FILE, PUBLICATION, REFRESH)
            tasks.create_task(insisting(clients, ledger, stop, name=f"c{number}", tries=2, wanted=wanted))
        try:
            for _ in range(ROUNDS):
                for names in RESTARTED:
                    await asyncio.gather(*(asyncio.to_thread(restarted, system, name) for name in names))
        finally:
            stop.set()
    assert ledger.refused == []
    answers = list(ledger.accepted.values())
    assert len(answers) > 10
    accepted = {answer["job"]["id"] for answer in answers}

    async def all_done() -> Any:
        return {row["state"] for row in await owner.fetch(JOBS)} == {"succeeded"}

    await eventually(all_done, within_s=60)
    assert {row["id"] for row in await owner.fetch(JOBS)} == accepted
    drives = {row["drive_id"] for row in await owner.fetch("SELECT drive_id FROM drives")}
    assert drives == {answer["drive_id"] for answer in answers if "company_name" in answer}
    files = {row["export_id"]: row["path"] for row in await owner.fetch(EXPORTS)}
    assert files.keys() == {answer["export_id"] for answer in answers if "export_id" in answer} != set()
    assert {answer["refresh_id"] for answer in answers if "refresh_id" in answer}
    storage = system.folder / "uploads"
    assert sorted(path.relative_to(storage).as_posix() for path in stored(storage)) == sorted(files.values())


def stored(storage: Path) -> list[Path]:
    """Return all files, also partly written ones."""
    return [path for path in storage.rglob("*") if path.is_file()]


def restarted(system: System, name: str) -> None:
    system.processes[name].stop()
    system.start(name)
