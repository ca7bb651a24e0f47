"""Each service runs with only its own extra of the package and its own folders."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import System

ROOT = Path(__file__).parents[2]
SHARED = ("contracts", "chassis")
# Modules that commands import when they are called, without commands that need a checkout (`up`, `demo`).
OF_THE_COMMAND_LINE = (
    "cli.main, cli.doctor.examination, cli.deployment.secret_files, cli.replay.verification, cli.sample.seeding, "
    "cli.commands.users, services.api.users.passwords, services.maintenance.sql, migrations.runner, io; "
    "migrations.runner.print_sql(io.StringIO(), None)"
)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# An image must stay under 250 MB, of which python:slim takes 125 MB and our code a few. The image of the API also has
# fonts for many scripts and a library that renders them, which take 50 MB.
MAX_BYTES = 115_000_000
MAX_BYTES_OF = {"api": 165_000_000}
# The module that the image of each service runs, and the folders that the image has.
SERVICES = {
    "api": ("services.api.main", ("services/__init__.py", "services/api")),
    "console": ("services.console.main", ("services/__init__.py", "services/console")),
    "eligibility": ("services.eligibility.main", ("services/__init__.py", "services/eligibility")),
    "exporter": ("services.exporter.main", ("services/__init__.py", "services/exporter")),
    "maintenance": ("services.maintenance.main", ("services/__init__.py", "services/maintenance")),
    "relay": ("chassis.messaging.relay_process", ()),
    "cli": (OF_THE_COMMAND_LINE, ("services", "migrations", "cli")),
}
# Reads a sheet in a separate process, like an import, and prints its rows.
READ_A_SHEET = """
import asyncio, sys
from services.api.students.import_files.rows import ReadOptions
from services.api.students.import_files.staged_file import UploadedFile, open_students

async def main():
    with open(sys.argv[1], "rb") as file:
        async with open_students(UploadedFile(file, "students.xlsx", ReadOptions({}))) as staged:
            async for chunk in staged.chunks():
                print(chunk.decode(), end="")

asyncio.run(main())
"""
SHEET = ROOT / "tests" / "cases" / "x26_title_rows.xlsx"


@pytest.mark.full_only  # `lint-imports` is the short form
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_needs_only_its_own_extra_and_folders(name: str, tmp_path: Path) -> None:
    module, folders = SERVICES[name]
    for folder in (*SHARED, *folders):
        source = ROOT / folder
        (tmp_path / "app" / folder).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / "app" / folder)
    for file in ("pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / file, tmp_path / "app" / file)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("VIRTUAL_ENV")},
        "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv"),
    }
    command = ["uv", "sync", "--frozen", "--no-default-groups", "--extra", name, "--no-install-project"]
    synced = subprocess.run(
        [*command, "--python", sys.executable],
        cwd=tmp_path / "app", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert synced.returncode == 0, synced.stderr
    _finished_as_in_the_image(name, tmp_path)
    # The stripped libraries must still work.
    python = tmp_path / "venv" / "bin" / "python"
    imported = subprocess.run(
        [str(python), "-c", f"import {module}"], cwd=tmp_path / "app", capture_output=True, text=True, check=False
    )
    assert imported.returncode == 0, imported.stderr
    if name == "api":
        _reads_a_sheet(python, tmp_path / "app")


def _reads_a_sheet(python: Path, folder: Path) -> None:
    """Read a sheet with only the environment of the image, in a folder that is not writable."""
    environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), "-c", READ_A_SHEET, str(SHEET)]
    done = subprocess.run(command, cwd="/proc", env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "x26@case.example.edu" in done.stdout) == (0, True), done.stdout + done.stderr


def _finished_as_in_the_image(name: str, folder: Path) -> None:
    """Strip libraries and compile byte code with the commands of the Dockerfile. Check the size afterwards."""
    venv = folder / "venv"
    if shutil.which("strip"):
        for library in venv.rglob("*.so"):  # replaces the link to uv's cache, whose file must not be stripped
            copy = shutil.copy2(library, library.with_suffix(".copy"))
            Path(copy).replace(library)
        (command,) = re.findall(r"^RUN (find /opt/venv .*strip .*)$", DOCKERFILE, re.MULTILINE)
        subprocess.run(["sh", "-c", command.replace("/opt/venv", str(venv))], check=True)
    (command,) = re.findall(r"^RUN (case .*?python -c .*?)$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    environment = {"SERVICE": name, "PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(["sh", "-c", command], cwd=folder / "app", env=environment, check=True)
    files = [path for path in venv.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".pyc" for path in files)
    assert list((folder / "app" / "chassis").rglob("*.pyc")), "our own code is not compiled"
    if shutil.which("strip"):
        assert sum(path.stat().st_size for path in files) <= MAX_BYTES_OF.get(name, MAX_BYTES)


def test_the_health_check_of_the_image_asks_the_process(system: System) -> None:
    (command,) = re.findall(r"^HEALTHCHECK .*\n    CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    _python, *arguments = json.loads(command)
    process = system.start("maintenance")

    def health_check() -> int:
        port = {"PORT": str(system.ports["maintenance"])}
        done = subprocess.run([sys.executable, *arguments], env=port, capture_output=True, check=False, timeout=20)
        return done.returncode

    assert health_check() == 0
    process.kill()
    assert health_check() == 1
