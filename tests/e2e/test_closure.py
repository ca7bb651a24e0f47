"""Each service runs with its own dependency group and its own folders, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ("contracts", "chassis")
# Whatever a command imports when it is called, but what only a checkout can do (`up`, `demo`).
OF_THE_COMMAND_LINE = (
    "cli.main, cli.doctor.examination, cli.deployment.secret_files, cli.replay.verification, cli.sample.seeding, "
    "cli.doors.logins, services.api.users.passwords, services.maintenance.sql, migrations.runner, io; "
    "migrations.runner.print_sql(io.StringIO(), None)"
)
# What an image of the service holds, and what it runs.
SERVICES = {
    "api": ("services.api.main", ("services/__init__.py", "services/api")),
    "eligibility": ("services.eligibility.main", ("services/__init__.py", "services/eligibility")),
    "exporter": ("services.exporter.main", ("services/__init__.py", "services/exporter")),
    "maintenance": ("services.maintenance.main", ("services/__init__.py", "services/maintenance")),
    "relay": ("chassis.relay_process", ()),
    "cli": (OF_THE_COMMAND_LINE, ("services", "migrations", "cli")),
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_needs_only_its_own_group_and_folders(name: str, tmp_path: Path) -> None:
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
    synced = subprocess.run(
        [
            "uv",
            "sync",
            "--frozen",
            "--no-default-groups",
            "--no-install-project",
            "--python",
            sys.executable,
            "--group",
            name,
        ],
        cwd=tmp_path / "app",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert synced.returncode == 0, synced.stderr
    python = tmp_path / "venv" / "bin" / "python"
    imported = subprocess.run(
        [str(python), "-c", f"import {module}"], cwd=tmp_path / "app", capture_output=True, text=True, check=False
    )
    assert imported.returncode == 0, imported.stderr
