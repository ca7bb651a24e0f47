"""Migrations, doctor and each service run from the wheel in a clean environment."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process
from devstack.stack import Addresses
from tests.e2e.test_closure import READ_A_SHEET, SHEET
from tests.support.system import MODULES, as_role

ROOT = Path(__file__).parents[2]
SERVICES = tuple(MODULES)


@pytest_asyncio.fixture
async def empty_database(servers: Addresses) -> AsyncIterator[str]:
    """Yield the superuser's address of a database without tables."""
    name = f"wheel_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(servers.database_url)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{name}"))
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@dataclass
class Installed:
    """An environment that contains only the wheel and the extras that were added."""

    folder: Path
    wheel: Path
    constraints: Path

    @property
    def programs(self) -> Path:
        return self.folder / "venv" / "bin"

    def add(self, *extras: str) -> None:
        package = f"{self.wheel}[{','.join(extras)}]" if extras else str(self.wheel)
        _uv("pip", "install", "--python", str(self.programs / "python"), "--constraint", str(self.constraints), package)

    def run(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of the environment in its folder, with only ``settings`` as environment variables."""
        command = [str(self.programs / words[0]), *words[1:]]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | settings
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=120
        )


def _uv(*words: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(["uv", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """Build the wheel and install it without extras. Dependencies have the versions of uv.lock, from uv's cache."""
    _uv("build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"))
    (wheel,) = (tmp_path / "dist").glob("placewire-*.whl")
    constraints = tmp_path / "constraints.txt"
    exported = ("--frozen", "--quiet", "--all-extras", "--no-hashes", "--no-emit-project", "--no-annotate")
    _uv("export", *exported, "--output-file", str(constraints))
    _uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    environment = Installed(tmp_path, wheel, constraints)
    environment.add()
    return environment


@pytest.mark.full_only
@pytest.mark.timeout(300)
async def test_everything_runs_from_the_wheel(empty_database: str, servers: Addresses, installed: Installed) -> None:
    bare = installed.run("placewire", "doctor")
    assert (bare.returncode, bare.stdout) == (1, "")
    assert bare.stderr.count("\n") == 1
    assert "typer" in bare.stderr
    assert "pip install 'placewire[cli]'" in bare.stderr

    installed.add("cli")
    migrated = installed.run("placewire", "migrate", MIGRATION_DATABASE_URL=empty_database)
    assert migrated.returncode == 0, migrated.stderr
    checked = installed.run("placewire", "migrate", "--check", MIGRATION_DATABASE_URL=empty_database)
    assert checked.returncode == 0, checked.stderr
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers}
    examined = installed.run("placewire", "doctor", "--json", MIGRATION_DATABASE_URL=empty_database, **kafka)
    states = {(finding["what"], finding["state"]) for finding in json.loads(examined.stdout)}
    assert {("versions", "ok"), ("database", "ok"), ("migrations", "ok"), ("roles", "ok"), ("Kafka", "ok")} <= states
    for service in ("api", "maintenance"):
        refused = installed.run("placewire", "run", service)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
        assert f"pip install 'placewire[{service}]'" in refused.stderr
        refused = installed.run("python", "-m", MODULES[service])
        assert f"pip install 'placewire[{service}]'" in refused.stderr

    installed.add(*SERVICES)
    read = installed.run("python", "-c", READ_A_SHEET, str(SHEET))
    assert (read.returncode, "x26@case.example.edu" in read.stdout) == (0, True), read.stdout + read.stderr
    started = [_start(installed, service, empty_database, kafka) for service in SERVICES]
    try:
        for process in started:
            process.wait_ready(timeout_s=60)
    finally:
        for process in started:
            process.stop()


def _start(installed: Installed, service: str, database_url: str, kafka: dict[str, str]) -> Process:
    port = free_port()
    secret = secrets.token_urlsafe(36)
    return Process.start(
        service,
        [str(installed.programs / "placewire"), "run", service],
        log=installed.folder / f"{service}.log",
        env={
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "DATABASE_URL": as_role(database_url, f"placewire_{service}"),
            "STORAGE_URL": (installed.folder / "uploads").as_uri(),
            "JWT_SECRET": secret,
            "INTERNAL_SECRET": secret,
        } | kafka,
        cwd=installed.folder,
        url=f"http://{LOOPBACK}:{port}/readyz",
    )  # fmt: skip
