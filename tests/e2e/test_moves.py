"""A log moves to another server, by dump and restore or by logical replication under load (docs/operations.md)."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from chassis.errors import LogNotAdopted
from chassis.postgres.database import connect_alone
from cli.failures import Failure
from cli.moving import adoption
from contracts.users import Role
from devstack.postgres import Postgres
from tests.conftest import must_verify
from tests.integration.test_installation import placewire as run_placewire
from tests.support import log_moves
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.log_moves import Remembered, url_of
from tests.support.retrying_client import Ledger, head_of_its_own, insisting
from tests.support.sizes import sized
from tests.support.system import System, as_role, bearer, running
from tests.support.tcp_proxy import TcpProxy

NO_BUS = "127.0.0.1:9"
STUDENTS = 60
DECISIONS = sized(small=20, full=1_000)
DRIVES = sized(small=5, full=25)
COMMANDS = sized(small=10, full=200)
TIMEOUT_S = sized(small=600, full=1_800)
PROCESSES = ("eligibility", "api")
RECORDED = """
SELECT (SELECT count(*) FROM es.event WHERE tx < $1::text::xid8) AS before,
       (SELECT count(*) FROM es.event WHERE tx >= $1::text::xid8 AND xid >= $1::text::xid8) AS after,
       (SELECT count(*) FROM es.event) AS events
"""


@pytest.fixture
def servers() -> Iterator[tuple[Postgres, Postgres]]:
    with log_moves.servers() as both:
        yield both


def placewire(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return run_placewire(*words, MIGRATION_DATABASE_URL=url, DATABASE_URL=as_role(url, "placewire_api"))


@asynccontextmanager
async def more_decisions(system: System, folder: Path, url: str) -> AsyncIterator[Ledger]:
    """Publish drives with retrying clients until the block ends, and change marks of students at the same time."""
    owner = await asyncpg.connect(url)
    await enrol(owner, STUDENTS)
    students = [row[0] for row in await owner.fetch("SELECT student_id FROM students ORDER BY 1")]
    await owner.close()
    ledger, stop = Ledger(), asyncio.Event()
    async with system.client() as client, asyncio.TaskGroup() as tasks:
        client.headers.update(bearer(Role.HEAD, await head_of_its_own(client)))
        for number in range(2):
            tasks.create_task(insisting([client], ledger, stop, name=f"c{number}", tries=400, pause_s=0.2))
        try:
            await until_more(ledger, DRIVES)
            for student in students[:5]:
                answer = await client.patch(f"/api/students/{student}", json={"cgpa": "1.00"})
                assert answer.status_code == 200, answer.text
            await until_more(ledger, DRIVES)
            yield ledger
        finally:
            stop.set()
    assert not ledger.refused


async def until_more(ledger: Ledger, more: int) -> None:
    target = len(ledger.accepted) + more

    async def accepted() -> bool:
        return len(ledger.accepted) >= target

    await eventually(accepted, within_s=120)


async def must_work(system: System, url: str, ledger: Ledger, remembered: Remembered) -> None:
    """Check that nothing was lost, duplicated or changed, and that new events come after the old ones."""
    new = await log_moves.commands(system, COMMANDS)
    owner = await asyncpg.connect(url)
    try:

        async def all_done() -> bool:
            return bool(await owner.fetchval("SELECT bool_and(state = 'succeeded') FROM es.job"))

        await eventually(all_done, within_s=60)
        drives = [row[0] for row in await owner.fetch("SELECT drive_id FROM drives")]
        assert sorted(drives) == sorted(drive["drive_id"] for drive in ledger.accepted.values())
        evaluations = "SELECT count(*) FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1'"
        assert await owner.fetchval(f"{evaluations} AND data -> 'students' = 'null'") == len(drives)
        epoch = await owner.fetchrow("SELECT number, first_xid::text AS first_xid FROM es.epoch ORDER BY number DESC")
        assert epoch is not None
        assert epoch["number"] == 2
        counted = await owner.fetchrow(RECORDED, epoch["first_xid"])
        assert counted is not None
        assert counted["before"] >= len(remembered.log)
        assert counted["after"] >= len(new)
        assert counted["before"] + counted["after"] == counted["events"], "an event has ids of both epochs"
    finally:
        await owner.close()
    await log_moves.must_be_unchanged(system, remembered)
    log = await log_moves.log_of(url)
    assert log[: len(remembered.log)] == remembered.log, "the old events do not come first in their old order"
    await log_moves.handle(url, remembered, len(log))
    assert remembered.handled == [row[0] for row in log], "an event was skipped or handled twice"
    await must_verify(url)
    assert not (await adoption.adopt(url)).needed


@pytest.mark.full_only
@pytest.mark.timeout(TIMEOUT_S)
async def test_a_dump_restored_into_another_server_works_after_adoption(
    servers: tuple[Postgres, Postgres], tmp_path: Path
) -> None:
    old, new = servers
    with running(url_of(old), NO_BUS, tmp_path) as system:
        system.start_together(*PROCESSES)
        async with more_decisions(system, tmp_path, url_of(old)) as ledger:
            pass
        remembered = await log_moves.remember(system, url_of(old), decisions=DECISIONS)
    remembered.log = await log_moves.log_of(url_of(old))
    move, adopt = log_moves.commands_under("By dump and restore")
    await asyncio.to_thread(log_moves.carry_out, move, old, new, tmp_path)
    again = await asyncio.to_thread(log_moves.restored_again, old, tmp_path)
    assert (await adoption.adopt(again)).reason is None, "the same server needs no new epoch"
    await asyncio.to_thread(old.kill)

    url = url_of(new)
    with running(url, NO_BUS, tmp_path / "refused") as system:
        process = system.start("api", wait=False)
        await eventually(lambda: asyncio.to_thread(lambda: not process.running), within_s=30)
        assert "placewire adopt-log" in process.log_tail()
    examined = await asyncio.to_thread(placewire, url, "doctor")
    assert "placewire adopt-log" in examined.stdout, examined.stderr
    assert (await asyncio.to_thread(placewire, url, "verify")).returncode == 1, "a log was read without adoption"
    planned = await asyncio.to_thread(placewire, url, "adopt-log", "--dry-run")
    assert "would be opened" in planned.stdout, planned.stderr
    assert "Epoch 2 was opened" in await asyncio.to_thread(log_moves.carry_out, adopt, old, new, tmp_path)
    second = await asyncio.to_thread(placewire, url, "adopt-log")
    assert "Nothing is needed" in second.stdout, second.stderr

    with running(url, NO_BUS, tmp_path / "new") as system:
        system.start_together(*PROCESSES)
        await must_work(system, url, ledger, remembered)


@pytest.mark.full_only
@pytest.mark.timeout(TIMEOUT_S)
async def test_a_log_replicated_under_load_works_on_the_new_server_and_is_closed_on_the_old_server(
    servers: tuple[Postgres, Postgres], tmp_path: Path
) -> None:
    old, new = servers
    with TcpProxy(old.port) as network:
        through = url_of(old).replace(f":{old.port}/", f":{network.port}/")
        with running(through, NO_BUS, tmp_path) as system:
            system.start_together(*PROCESSES)
            pids = {name: process.pid for name, process in system.processes.items()}
            async with more_decisions(system, tmp_path, url_of(old)) as ledger:
                remembered = await log_moves.remember(system, url_of(old), decisions=DECISIONS)
                begin, close, end = log_moves.commands_under("By logical replication")
                await asyncio.to_thread(log_moves.carry_out, begin, old, new, tmp_path)
                await log_moves.until_copied(new)
                await until_more(ledger, DRIVES)
                assert "Received by moving" in await asyncio.to_thread(log_moves.carry_out, close, old, new, tmp_path)
                remembered.log = await log_moves.log_of(url_of(old))

                # The address is switched before the adoption. The running processes must not write to the new server.
                network.targets = [new.port]
                network.cut()
                network.heal()
                async with system.client() as client:

                    async def refused() -> bool:
                        answer = await client.get("/readyz")
                        return answer.status_code == 503 and answer.json()["status"] == "log not adopted"

                    await eventually(refused, within_s=30)
                assert await log_moves.positions(url_of(new)) == sorted(row[0] for row in remembered.log)
                with pytest.raises(Failure, match="still replicated"):
                    await adoption.adopt(url_of(new))
                output = await asyncio.to_thread(log_moves.carry_out, end, old, new, tmp_path)
                assert "Epoch 2 was opened" in output
                assert "Sequence es.event_position_seq was set" in output
                assert "Empty views that were filled" in output
                await until_more(ledger, DRIVES)
            assert {name: process.pid for name, process in system.processes.items() if process.running} == pids
            await must_be_closed(old)
            await must_work(system, url_of(new), ledger, remembered)
    assert await log_moves.log_of(url_of(old)) == remembered.log


async def must_be_closed(old: Postgres) -> None:
    owner = await asyncpg.connect(url_of(old))
    try:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await owner.execute("UPDATE credentials SET user_id = user_id")
        await owner.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.PostgresError, match="the log is closed"):
            await owner.execute(
                "INSERT INTO es.event (tx, xid, stream_id, version, event_id, type, data, metadata)"
                " VALUES ('1', '1', 'x', 1, gen_random_uuid(), 'x', '{}', '{}')"
            )
    finally:
        await owner.close()


@pytest.mark.full_only
@pytest.mark.timeout(TIMEOUT_S)
async def test_pg_upgrade_needs_an_adoption_that_does_not_change_the_offset(
    servers: tuple[Postgres, Postgres], tmp_path: Path
) -> None:
    old, new = servers
    owner = await asyncpg.connect(url_of(old))
    await enrol(owner, STUDENTS)
    await owner.close()
    log = await log_moves.log_of(url_of(old))
    assert len(log) == STUDENTS
    await asyncio.to_thread(log_moves.upgrade, old, new)
    url = url_of(new)
    with pytest.raises(LogNotAdopted):
        await connect_alone(url, application_name="test")
    adopted = await adoption.adopt(url)
    assert (adopted.reason, adopted.epoch.number, adopted.epoch.xid_offset) == ("OTHER_SERVER", 2, 0)
    assert not (await adoption.adopt(url)).needed
    with running(url, NO_BUS, tmp_path) as system:
        system.start("api")
        await log_moves.commands(system, COMMANDS)
    assert (await log_moves.log_of(url))[: len(log)] == log
    await must_verify(url)
