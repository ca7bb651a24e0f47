"""Move a log to another server: the servers, the ways to move it, and checks that the log is the same afterwards."""

import asyncio
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Recorded
from chassis.eventstore.subscriptions import Subscription
from chassis.postgres.database import Connection, Database
from contracts.users import Role
from devstack.postgres import Postgres
from devstack.unprivileged import user
from migrations import runner
from tests.support.database_clones import named
from tests.support.eventually import eventually
from tests.support.servers import run_folder
from tests.support.system import HEAD_ID, ROOT, System, bearer

DATABASE = "placewire"
# Uses transaction ids, so that the old server is ahead of the new one.
USED_XIDS = 5_000
USE_XIDS = f"""
DO $$ BEGIN FOR i IN 1..{USED_XIDS} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$
"""
DECISIONS = """
SELECT (e.data ->> 'drive_id')::integer AS drive_id, s.student_id, e.recorded_at
  FROM es.event e CROSS JOIN students s WHERE e.type = 'placewire.eligibility.evaluated.v1'
 ORDER BY hashint8extended(s.student_id, e.position) LIMIT $1
"""
READ_ALL = "SELECT position, stream_id, version, event_id FROM ({log}) log"
COPIED = "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel"


def url_of(server: Postgres) -> str:
    return named(server.dsn, DATABASE)


@contextmanager
def servers(*, old_home: Path | None = None, new_home: Path | None = None) -> Iterator[tuple[Postgres, Postgres]]:
    """Yield two separate servers. The old one allows logical replication. Both are deleted when the block ends."""
    folder = run_folder() / f"moves-{os.urandom(4).hex()}"
    old = Postgres(old_home or folder / "old", durable=False)
    new = Postgres(new_home or folder / "new", durable=False)
    try:
        old.start()
        asyncio.run(_execute(old.dsn, "ALTER SYSTEM SET wal_level = logical", f'CREATE DATABASE "{DATABASE}"'))
        old.stop()
        old.start()
        asyncio.run(runner.migrate(url_of(old).replace("postgresql://", "postgresql+asyncpg://")))
        asyncio.run(_execute(url_of(old), "SET synchronous_commit = off", USE_XIDS))
        new.start()
        yield old, new
    finally:
        for server in (old, new):
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def commands_under(heading: str) -> list[str]:
    """Return the blocks of commands under a heading of docs/operations.md, in order."""
    _, title, section = (ROOT / "docs" / "operations.md").read_text().partition(f"\n### {heading}\n")
    assert title, heading
    return re.findall(r"^```bash needs-two-servers\n(.*?)^```$", section.partition("\n##")[0], re.MULTILINE | re.DOTALL)


def carry_out(commands: str, old: Postgres, new: Postgres, folder: Path) -> str:
    """Run commands of docs/operations.md. Return what they print."""
    programs = f"{Path(sys.executable).parent}:{old.programs}"
    addresses = {"OLD": url_of(old), "NEW": url_of(new), "OLD_SERVER": old.dsn, "NEW_SERVER": new.dsn}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, **addresses, "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def restored_again(old: Postgres, folder: Path) -> str:
    """Restore the dump in ``folder`` into a second database of the old server. Return its address."""
    url = named(old.dsn, "again")
    restore = f'pg_restore --dbname "{url}" --exit-on-error placewire.dump'
    carry_out(f'createdb --maintenance-db "$OLD_SERVER" again\n{restore}', old, old, folder)
    return url


def upgrade(old: Postgres, new: Postgres) -> None:
    """Run pg_upgrade. Start ``new`` with the data of ``old``, and stop ``old``."""
    old.stop()
    new.stop()
    account = pwd.getpwnam(name) if (name := user()) else None
    done = subprocess.run(
        [
            str(new.programs / "pg_upgrade"), "--username", "postgres", "--socketdir", str(new.home), "--no-sync",
            "--old-bindir", str(old.programs), "--new-bindir", str(new.programs),
            "--old-datadir", str(old.data), "--new-datadir", str(new.data),
        ],
        cwd=new.home,
        capture_output=True,
        text=True,
        check=False,
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=account and [],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    new.start()


async def until_copied(new: Postgres) -> None:
    """Wait until logical replication has copied the rows of every table."""
    connection = await asyncpg.connect(url_of(new))
    try:

        async def copied() -> bool:
            return bool(await connection.fetchval(COPIED))

        await eventually(copied, within_s=120)
    finally:
        await connection.close()


Answer = tuple[int, int, str, dict[str, Any]]


@dataclass
class Remembered:
    """The state before a move. ``decisions``: past decisions by drive, student and time. ``log``: the events in order.

    ``handled``: the positions of the events that a subscription has handled, on both servers.
    """

    decisions: list[Answer] = field(default_factory=list)
    log: list[tuple[Any, ...]] = field(default_factory=list)
    handled: list[int] = field(default_factory=list)


async def remember(system: System, url: str, *, decisions: int) -> Remembered:
    """Read a sample of past decisions, and let a subscription handle half of the log."""
    remembered = Remembered()
    owner = await asyncpg.connect(url)
    try:
        rows = await owner.fetch(DECISIONS, decisions)
        half = await owner.fetchval("SELECT count(*) / 2 FROM es.event")
    finally:
        await owner.close()
    assert len(rows) == decisions
    keys = [(row["drive_id"], row["student_id"], row["recorded_at"].isoformat()) for row in rows]
    async with system.client() as client:
        remembered.decisions = [(*key, await _explained(client, number, *key)) for number, key in enumerate(keys)]
    await handle(url, remembered, half)
    assert len(remembered.handled) > 0
    return remembered


async def _explained(client: httpx.AsyncClient, number: int, drive_id: int, student_id: int, at: str) -> dict[str, Any]:
    # Several users, because of the rate limit for each user.
    headers = bearer(Role.COORDINATOR, HEAD_ID + number % 50)
    path = f"/api/eligibility/{drive_id}/explain"
    answer = await client.get(path, params={"student_id": student_id, "at": at}, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def must_be_unchanged(system: System, remembered: Remembered) -> None:
    """Check that the same past decisions are returned again."""
    async with system.client() as client:
        for number, (drive_id, student_id, at, before) in enumerate(remembered.decisions):
            assert await _explained(client, number, drive_id, student_id, at) == before


async def log_of(url: str) -> list[tuple[Any, ...]]:
    """Return all events that readers of the log can see, in the order of the log."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(READ_ALL.format(log=event_store.READ_LOG), 0, 0, 10**9)
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


async def positions(url: str) -> list[int]:
    """Return the positions of all committed events, even if readers of the log do not see them yet."""
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch("SELECT position FROM es.event ORDER BY 1")]
    finally:
        await connection.close()


async def handle(url: str, remembered: Remembered, at_least: int) -> None:
    """Run the subscription ``moving`` from its checkpoint until it has handled ``at_least`` events in total."""

    async def remember(_connection: Connection, events: "list[Recorded] | Any") -> None:
        remembered.handled += [event.position for event in events]

    database = Database(url, pool_size=2, application_name="test")
    reading = asyncio.create_task(Subscription(database, "moving", remember, batch_size=20).run())
    try:

        async def far_enough() -> bool:
            return len(remembered.handled) >= at_least

        await eventually(far_enough, within_s=60)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await database.close()


async def commands(system: System, count: int) -> list[int]:
    """Enrol ``count`` students one after the other. Return their ids."""
    ids = []
    async with system.client() as client:
        for number in range(count):
            student = {
                "name": "After", "email": f"after{number}@college.edu", "roll_number": f"AFTER{number}",
                "branch": "CSE", "batch_year": 2026,
            }  # fmt: skip
            headers = bearer(Role.HEAD, HEAD_ID + number % 50)
            answer: httpx.Response = await client.post("/api/students", json=student, headers=headers)
            assert answer.status_code == 201, answer.text
            ids.append(int(answer.json()["student_id"]))
    return ids
