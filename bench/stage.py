"""Servers, databases and processes of the benches. They are started on first use and stopped at the end of a run."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

from bench.results import Results
from bench.sizes import Size
from chassis.postgres.database import connect_alone
from cli.local.settings import named
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process
from devstack.stack import Stack, data_folder, remove_abandoned
from devstack.unprivileged import programs
from migrations import runner
from tests.support.bulk_students import ENROL
from tests.support.system import ROOT, System, running

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

AT_ONCE = 100_000
TIME = re.compile(r"^Time: ([\d.]+) ms", re.MULTILINE)


class Servers:
    """Separate Postgres and Kafka servers with the usual settings (fsync on), started on first use."""

    def __init__(self) -> None:
        self._stack: Stack | None = None

    async def __aenter__(self) -> "Servers":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stack is not None:
            self._stack.stop()

    async def started(self) -> Stack:
        """Return the running servers. Postgres records commit time stamps, which date the effects."""
        if self._stack is None:
            home = data_folder() / "bench"
            remove_abandoned(home)
            self._stack = Stack(home / str(os.getpid()), disposable=True)
            self._stack.start()
            await _execute(self._stack.postgres.dsn, "ALTER SYSTEM SET track_commit_timestamp = on")
            self._stack.postgres.stop()
            self._stack.postgres.start()
        return self._stack


class Bench:
    """The environment of one bench. ``step`` advances the progress bar after a measurement."""

    def __init__(self, size: Size, results: Results, servers: Servers, step: Callable[[], None]) -> None:
        self.size = size
        self.results = results
        self.servers = servers
        self.step = step

    @asynccontextmanager
    async def students(self, count: int) -> AsyncIterator["Ground"]:
        """Yield a migrated database with ``count`` students, shared by all benches, and processes for this one."""
        async with self.empty(f"students_{count}") as ground:
            await _fill(ground, count)
            yield ground

    @asynccontextmanager
    async def empty(self, name: str) -> AsyncIterator["Ground"]:
        """Yield the migrated database ``name``, created on first use, and processes for this bench."""
        stack = await self.servers.started()
        server = stack.addresses.database_url
        if not await _execute(server, f"SELECT FROM pg_database WHERE datname = '{name}'"):
            await _execute(server, f'CREATE DATABASE "{name}"')
        url = named(server, name)
        await runner.migrate(url.replace("postgresql://", "postgresql+asyncpg://"))
        # JSON logs as in production, so that the measured cost includes them.
        kafka, folder = stack.addresses.kafka_bootstrap_servers, stack.home / "services"
        with running(url, kafka, folder, LOG_FORMAT="json") as system:
            owner = await connect_alone(url, application_name="bench")
            try:
                yield Ground(url, owner, system, stack.home)
                # Stopped, not killed: a consumer group waits 10 s for a member that has not left it.
                for process in reversed(system.processes.values()):
                    process.stop(10)
            finally:
                await owner.close()


@dataclass
class Ground:
    """One database and the processes that a bench starts on it. ``owner``: a session of the superuser."""

    url: str
    owner: Session
    system: System
    folder: Path

    def start(self, name: str, module: str, *, ready: bool = True, **env: str) -> tuple[Process, int]:
        """Start ``python -m module``. Return the process and its port. It is stopped with the system's processes."""
        port = free_port()
        inherited = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
        process = Process.start(
            name,
            [sys.executable, "-m", module],
            log=self.system.folder / f"{name}.log",
            env={**inherited, "PYTHONPATH": str(ROOT), "DATABASE_URL": self.url, "PORT": str(port), **env},
            cwd=ROOT,
            url=f"http://{LOOPBACK}:{port}/readyz",
        )
        self.system.processes[name] = process
        if ready:
            process.wait_ready()
        return process, port

    async def psql_s(self, command: str) -> float:
        """Return the seconds that psql reports for ``command``. Raises ``AssertionError`` with its output."""
        process = await asyncio.create_subprocess_exec(
            str(programs() / "psql"), self.url, "-qX", "-v", "ON_ERROR_STOP=1", "-c", "\\timing on", "-c", command,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output = (await process.communicate())[0].decode()
        match = TIME.search(output)
        assert process.returncode == 0, output
        assert match, output
        return float(match[1]) / 1000

    async def settle(self) -> None:
        """Flush earlier writes to disk, so that they do not slow the next measurement."""
        await self.owner.execute("CHECKPOINT")


async def _execute(url: str, command: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(command)
    finally:
        await connection.close()


async def _fill(ground: Ground, count: int) -> None:
    have = await ground.owner.fetchval("SELECT count(*) FROM students")
    if have == count:
        return
    assert have == 0, f"{have} students in a database for {count}"
    for first in range(0, count, AT_ONCE):
        await ground.owner.execute(ENROL, min(count - first, AT_ONCE))
    await ground.owner.execute("VACUUM ANALYZE")
