"""Each how-to guide works: its code blocks are applied to a copy of the checkout, and its commands run there.

A ``diff`` block with a title changes that file. Any other block with a title creates a file. A ``bash guide`` block
holds commands.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.postgres import Postgres
from devstack.stack import data_folder
from tests.support.system import ROOT

GUIDES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
LONGEST = "add-a-job-kind"
BLOCK = re.compile(r'^```(?P<language>\w+) (?:title="(?P<title>[^"]+)"|guide)\n(?P<body>.*?)^```$', re.M | re.S)


def copy_of_checkout(folder: Path) -> Path:
    """Copy every file that git does not ignore. Return the folder of the copy."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    return folder


def change(file: Path, diff: str) -> None:
    """Apply ``diff`` to ``file``. Its unchanged and removed lines must occur exactly once."""
    lines = diff.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has these lines {text.count(old)} times:\n{old}"
    file.write_text(text.replace(old, new))


def apply(guide: Path, checkout: Path) -> tuple[str, list[str]]:
    """Apply the blocks of ``guide``. Return its commands, and the Python files that it wrote."""
    commands, written = "", []
    for block in BLOCK.finditer(guide.read_text()):
        title, body = block["title"], block["body"]
        if title is None:
            commands += body
            continue
        file = checkout / title
        if block["language"] == "diff":
            change(file, body)
        else:
            assert not file.exists(), title
            file.parent.mkdir(exist_ok=True)
            file.write_text(body)
        if title.endswith(".py"):
            written.append(title)
    return commands, written


@pytest.fixture(scope="module")
def another_postgres() -> Iterator[str]:
    """Return the address of a server for the tests of the guides. They must not replace the template of this run."""
    server = Postgres(data_folder() / f"guides-{os.getpid()}", durable=False)
    server.start()
    try:
        yield server.dsn
    finally:
        server.kill()
        shutil.rmtree(server.home, ignore_errors=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "guide",
    [path if path.stem == LONGEST else pytest.param(path, marks=pytest.mark.full_only) for path in GUIDES],
    ids=lambda path: path.stem,
)
def test_a_guide_works(guide: Path, another_postgres: str, tmp_path: Path) -> None:
    checkout = copy_of_checkout(tmp_path / "checkout")
    commands, written = apply(guide, checkout)
    assert commands, "the guide has no block of commands: bash guide"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "TEST_DATABASE_URL": another_postgres,
        "TEST_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",  # no guide uses Kafka
    }
    style = f"ruff format --check {' '.join(written)}\nruff check {' '.join(written)}\n"
    completed = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands + style],
        cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stdout + completed.stderr
