"""Backup and restore as in docs/operations.md: a base backup during writes, and recovery to a chosen time."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path

import asyncpg
import httpx
import pytest

from cli.moving import adoption
from contracts.users import Role
from devstack.postgres import Postgres
from devstack.unprivileged import make_folder, user
from migrations import runner
from migrations.waiting import wait
from tests.conftest import must_verify
from tests.support import log_moves
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.servers import run_folder
from tests.support.sizes import sized
from tests.support.system import HEAD_ID, System, as_role, bearer, running

WRITERS = 4
ENOUGH = 12
STUDENTS_JUDGED = 20
DECISIONS = sized(small=40, full=1_000)
COMMANDS = sized(small=20, full=200)

ALL_SEEN = "SELECT max(greatest(tx, xid)) < es.log_xid() FROM es.event"
STUDENTS = "SELECT student_id FROM students"
EVENTS = "SELECT substr(stream_id, 9)::integer FROM es.event WHERE type = 'placewire.student.enrolled.v1'"


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a folder that the server's user owns, with a subfolder for archived WAL."""
    folder = make_folder(run_folder() / f"backup-{os.urandom(4).hex()}")
    _change_owner(make_folder(folder / "archive"))
    yield folder
    for name in ("first", "second"):
        Postgres(folder / name).kill()
    shutil.rmtree(folder, ignore_errors=True)


def _change_owner(folder: Path) -> None:
    """Make the user that runs the server the owner of ``folder`` and its content."""
    if (owner := user()) is not None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, owner)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def _archiving(home: Path) -> Postgres:
    """Start a server that archives its WAL. The database's owner is not a superuser, as in deploy/k8s."""
    server = Postgres(home / "first")
    await asyncio.to_thread(server.start)
    async with _connected(server.dsn) as admin:
        await admin.execute("CREATE ROLE placewire LOGIN CREATEROLE")
        await admin.execute("CREATE DATABASE placewire OWNER placewire")
        await admin.execute("ALTER SYSTEM SET archive_mode = on")
        await admin.execute(f"ALTER SYSTEM SET archive_command = 'cp %p {home}/archive/%f'")
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    await runner.migrate(_database(server).replace("postgresql://postgres@", "postgresql+asyncpg://placewire@"))
    return server


def _database(server: Postgres) -> str:
    return server.dsn.removesuffix("/postgres") + "/placewire"


@dataclass
class Writers:
    """Writers that enrol students one after the other, each as a different head. ``answered``: the enrolled ids."""

    answered: list[int] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def writing(self, client: httpx.AsyncClient) -> AsyncIterator[None]:
        """Run the writers until the block ends, even if it fails."""
        self.tasks = [asyncio.create_task(self._write(client, who)) for who in range(WRITERS)]
        try:
            yield
        finally:
            for task in self.tasks:
                task.cancel()
            ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        if failed := [result for result in ended if isinstance(result, Exception)]:
            raise failed[0]

    async def _write(self, client: httpx.AsyncClient, who: int) -> None:
        headers = bearer(Role.HEAD, HEAD_ID + who)
        for number in count():
            name = f"{who}-{number}"
            student = {"name": "A", "email": f"{name}@college.edu", "roll_number": name, "branch": "CSE"}
            body = {**student, "batch_year": 2026}
            answer = await client.post("/api/students", json=body, headers=headers)
            while answer.status_code == 429:  # a fast machine exceeds the rate limit of a user
                await asyncio.sleep(int(answer.headers["Retry-After"]))
                answer = await client.post("/api/students", json=body, headers=headers)
            assert answer.status_code == 201, answer.text
            self.answered.append(answer.json()["student_id"])

    async def until_more(self, more: int) -> None:
        """Wait until ``more`` students have been enrolled. Raises the exception of a writer that failed."""
        wanted = len(self.answered) + more

        async def written() -> bool:
            for task in self.tasks:
                if task.done():
                    task.result()
            return len(self.answered) >= wanted

        await eventually(written, within_s=60)


async def _base_backup(server: Postgres, folder: Path) -> None:
    command = [str(server.programs / "pg_basebackup"), "--dbname", server.dsn, "--pgdata", str(folder)]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "--checkpoint=fast", "--wal-method=none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def _archived(server: Postgres) -> None:
    """Wait until all WAL written so far is in the archive."""
    async with _connected(server.dsn) as admin:
        last = await admin.fetchval("SELECT pg_walfile_name(pg_switch_wal())")

        async def archived() -> bool:
            return bool(await admin.fetchval("SELECT last_archived_wal >= $1 FROM pg_stat_archiver", last))

        await eventually(archived, within_s=30)


async def _restored(home: Path, moment: datetime) -> Postgres:
    data = home / "second" / "data"
    (data / "recovery.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write("archive_mode = off\n")
        settings.write(f"restore_command = 'cp {home}/archive/%f %p'\n")
        settings.write(f"recovery_target_time = '{moment.isoformat()}'\n")
        settings.write("recovery_target_action = 'promote'\n")
    _change_owner(home / "second")
    server = Postgres(home / "second")
    await asyncio.to_thread(server.start)
    async with _connected(server.dsn) as admin:

        async def writable() -> bool:
            return not await admin.fetchval("SELECT pg_is_in_recovery()")

        await eventually(writable, within_s=30)
    return server


@pytest.mark.full_only
async def test_recovery_restores_exactly_the_events_before_the_target_time(home: Path, tmp_path: Path) -> None:
    server = await _archiving(home)
    url = _database(server)
    await wait(as_role(url, "placewire_api"), within_s=10)
    writers = Writers()
    async with _connected(url) as owner:
        await enrol(owner, STUDENTS_JUDGED)
    with running(url, "127.0.0.1:9", tmp_path) as system:
        system.start_together("api", "eligibility")
        async with system.client() as client:
            for _ in range(DECISIONS // STUDENTS_JUDGED):
                answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True})
                assert answer.status_code in (200, 202), answer.text
        await _all_evaluated(url)
        remembered = await log_moves.remember(system, url, decisions=DECISIONS)
        before, moment, after = await _written_around_a_backup(system, server, home, writers)
    # From here on, only the base backup and the archived WAL are used.
    await asyncio.to_thread(server.kill)

    restored = await _restored(home, moment)
    url = _database(restored)
    assert not (await adoption.adopt(url)).needed, "the processes can start without adoption"
    await must_verify(url)
    async with _connected(url) as owner:
        for query in (STUDENTS, EVENTS):
            ids = {row[0] for row in await owner.fetch(query)}
            assert set(before) <= ids, "a student who was enrolled before the target time is lost"
            assert not set(after) & ids, "a student was restored who was enrolled after the target time"
        # The counter of transaction ids was restored too: readers see every event, and stored snapshots are valid.
        assert await owner.fetchval(ALL_SEEN)
    # The restored system works.
    with running(url, "127.0.0.1:9", tmp_path) as system:
        system.start("api")
        await log_moves.must_be_unchanged(system, remembered)
        await log_moves.commands(system, COMMANDS)
    log = await log_moves.log_of(url)
    await log_moves.handle(url, remembered, len(log))
    assert remembered.handled == [row[0] for row in log], "an event was skipped or handled twice"
    await must_verify(url)


async def _all_evaluated(url: str) -> None:
    async with _connected(url) as owner:

        async def ended() -> bool:
            return not await owner.fetchval("SELECT count(*) FROM es.job WHERE finished_at IS NULL")

        await eventually(ended, within_s=60)


async def _written_around_a_backup(
    system: System, server: Postgres, home: Path, writers: Writers
) -> tuple[list[int], datetime, list[int]]:
    """Return the students enrolled before a time, that time by the server's clock, and the students enrolled after."""
    async with _connected(server.dsn) as admin, system.client() as client:
        async with writers.writing(client):
            await writers.until_more(ENOUGH)
            async with asyncio.TaskGroup() as group:
                group.create_task(_base_backup(server, make_folder(home / "second") / "data"))
                await writers.until_more(1)
            await writers.until_more(ENOUGH)
            before = list(writers.answered)
            moment = await admin.fetchval("SELECT clock_timestamp()")
            # Each writer had one request in progress at that time. Its student may be before or after.
            await writers.until_more(WRITERS * 3)
        unsure = len(before) + WRITERS * 2
    after = [row[0] for row in await _recorded_after(server, moment)]
    assert set(after) >= set(writers.answered[unsure:]) != set()
    await _archived(server)
    return before, moment, after


async def _recorded_after(server: Postgres, moment: datetime) -> list[asyncpg.Record]:
    async with _connected(_database(server)) as owner:
        # An event that was recorded before ``moment`` and committed after it is in neither list.
        return await owner.fetch(f"{EVENTS} AND recorded_at > $1", moment)
