"""Asked to stop, a process releases what it cannot finish; a rolling restart loses and repeats nothing."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.users import Role
from tests.e2e.test_without_kafka import asked_for_all, until_clock_is_quiet
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.publications import settled
from tests.support.retrying_client import FILE, PUBLICATION, REFRESH, Ledger, head_of_its_own, insisting
from tests.support.sizes import sized
from tests.support.system import QUIET_CLOCK, System, bearer

Owner = asyncpg.Connection
ROUNDS = sized(small=1, full=3)
WORKERS = ("eligibility", "exporter", "maintenance")
# One replica of everything at a time: the two of the API after each other, the rest beside them.
RESTARTED = (("api", *WORKERS), ("relay", "api2"))
# What each kind of job waits for: an evaluation its drive's lock, an export and a refresh their tables'.
HOLD = """
SELECT pg_advisory_xact_lock(hashtextextended('evaluation:' || n, 0)) FROM generate_series(1, 5) n;
LOCK TABLE finished_drives, view_refresh IN ACCESS EXCLUSIVE MODE;
"""
STATES = "SELECT kind, state, attempts FROM es.job WHERE finished_at IS NULL"
# The clock asks too.
JOBS = """
SELECT j.id::text, j.state FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE coalesce(e.data ->> 'cause', 'request') = 'request'
"""
EXPORTS = "SELECT export_id::text, path FROM exports WHERE state = 'completed'"


@pytest.mark.timeout(180)
async def test_sigterm_in_the_middle_of_each_kind_of_job_costs_no_attempt(
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
        asking = asyncio.create_task(asked_for_all(system, client))

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


@pytest.mark.timeout(240)
async def test_a_rolling_restart_of_every_service_under_load_loses_and_repeats_nothing(
    kafka_system: System, owner: "Owner[asyncpg.Record]"
) -> None:
    system = kafka_system
    await enrol(owner, 50)
    system.start_together(*WORKERS, "relay", "api", "api2")
    await system.until_bus_is_trusted()
    ledger, stop = Ledger(), asyncio.Event()
    async with system.client("api") as one, system.client("api2") as two, asyncio.TaskGroup() as tasks:
        caller = bearer(Role.HEAD, await head_of_its_own(one))
        one.headers.update(caller)
        two.headers.update(caller)
        for number in range(3):
            clients = [one, two] if number % 2 else [two, one]
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
    promised = {answer["job"]["id"] for answer in answers}

    async def all_done() -> Any:
        return {row["state"] for row in await owner.fetch(JOBS)} == {"succeeded"}

    await eventually(all_done, within_s=60)
    assert {row["id"] for row in await owner.fetch(JOBS)} == promised
    there = {row["drive_id"] for row in await owner.fetch("SELECT drive_id FROM drives")}
    assert there == {answer["drive_id"] for answer in answers if "company_name" in answer}
    files = {row["export_id"]: row["path"] for row in await owner.fetch(EXPORTS)}
    assert files.keys() == {answer["export_id"] for answer in answers if "export_id" in answer} != set()
    assert {answer["refresh_id"] for answer in answers if "refresh_id" in answer}
    storage = system.folder / "uploads"
    assert sorted(one.relative_to(storage).as_posix() for one in stored(storage)) == sorted(files.values())


def stored(storage: Path) -> list[Path]:
    """Every file, half-written ones too."""
    return [one for one in storage.rglob("*") if one.is_file()]


def restarted(system: System, name: str) -> None:
    system.processes[name].stop()
    system.start(name)
