"""Every block of commands in the documents has a mark that says how it is tested. Some are run here."""

import asyncio
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from chassis.postgres.database import Database
from cli.sample import seeding
from devstack.stack import Addresses
from devstack.unprivileged import programs
from tests.support.system import System, as_role

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = {"bash", "sh", "shell", "console", "zsh"}
# test: run here. needs-api: run here against a running system. ci: CI runs the same command. long: too long to run.
# needs-two-servers: run by test_moves.py. guide: run by test_how_to_guides.py. The others say what they need.
MARKS = {
    "test", "needs-api", "ci", "long", "guide",
    "needs-docker", "needs-cluster", "needs-systemd", "needs-root", "needs-two-servers",
}  # fmt: skip


def blocks(document: Path) -> Iterator[tuple[str, str]]:
    """Yield mark and commands of each block of shell commands. The mark may be empty."""
    for found in BLOCK.finditer(document.read_text()):
        language, _, mark = found["info"].strip().partition(" ")
        if language in SHELLS:
            yield mark, found["body"]


def script_of(document: Path) -> str:
    return "".join(body for mark, body in blocks(document) if mark == "test")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_of_commands_has_a_mark(document: Path) -> None:
    unmarked = [body for mark, body in blocks(document) if mark not in MARKS]
    assert unmarked == [], f"write one of {sorted(MARKS)} after the language"


def test_ci_runs_the_commands_that_are_marked_ci() -> None:
    run = {line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()}
    bodies = [body for document in DOCUMENTS for mark, body in blocks(document) if mark == "ci"]
    commands = {line.partition("#")[0].strip() for body in bodies for line in body.splitlines()}
    assert {command for command in commands if command.startswith("make ")} <= run


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if script_of(path)], ids=lambda path: path.name)
async def test_commands_that_are_marked_test_work(document: Path, servers: Addresses, tmp_path: Path) -> None:
    """Run all these commands of a document in order, in an empty folder and with an empty database."""
    name = f"docs_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        url = urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{name}"))
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{programs()}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "MIGRATION_DATABASE_URL": url,
            "DATABASE_URL": url,
            "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        }
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euxo", "pipefail", "-c", script_of(document)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="NOT TESTED: there is no curl, or no jq")
async def test_calls_of_the_api_in_documents_work(kafka_system: System, tmp_path: Path) -> None:
    """Run the calls of each document in order, with the sample accounts of `make up`."""
    scripts = ["".join(body for mark, body in blocks(each) if mark == "needs-api") for each in DOCUMENTS]
    scripts = [script for script in scripts if script]
    assert len(scripts) >= 3  # README, the tutorial, the page about the API
    system = kafka_system
    database = Database(as_role(system.database_url, "placewire_api"), pool_size=1, application_name="test")
    await seeding.seed(database)
    await database.close()
    system.start("exporter", wait=False)
    system.start_all()
    await system.until_bus_is_trusted()
    async with system.client() as client:
        environment = {"PATH": os.environ["PATH"], "API": str(client.base_url).rstrip("/")}
    output = ""
    for number, script in enumerate(scripts):
        folder = tmp_path / f"calls-{number}"
        folder.mkdir()
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, script + done.stdout + done.stderr
        output += done.stdout
    assert "event: job" in output
    [number] = [number for number, script in enumerate(scripts) if "registrations.csv" in script]
    assert (tmp_path / f"calls-{number}" / "registrations.csv").read_text().count("\n") == 2
