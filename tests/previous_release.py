"""The code of the previous release, started beside the present one."""

import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from devstack.processes import Process
from tests.support.system import MODULES, ROOT, System, kind_of

# Releases before it have another schema.
BASELINE = "migrations/versions/0001_baseline.py"


def _git(*words: str) -> bytes:
    git = shutil.which("git")
    assert git is not None
    return subprocess.run([git, *words], cwd=ROOT, capture_output=True, check=True).stdout


def revision() -> str:
    """Return the newest release tag (v1.2.3) before this commit that has the baseline; ``HEAD`` while there is none."""
    tags = _git("tag", "--list", "v[0-9]*.[0-9]*.[0-9]*", "--sort=-version:refname", "--no-contains", "HEAD").split()
    for tag in (one.decode() for one in tags):
        if _git("ls-tree", "--name-only", tag, BASELINE):
            return tag
    return "HEAD"


def unpack(of: str, folder: Path) -> Path:
    """Return a folder below ``folder`` with the files of the revision."""
    target = folder / "previous_release"
    with tarfile.open(fileobj=BytesIO(_git("archive", "--format=tar", of))) as archive:
        archive.extractall(target, filter="data")
    return target


def start(system: System, code: Path, *names: str) -> None:
    """Start processes of ``system`` from ``code``; all are ready when this returns."""
    for name in names:
        system.processes[name] = Process.start(
            name,
            [sys.executable, "-m", MODULES[kind_of(name)]],
            log=system.folder / f"{name}.log",
            env=system.environment(name, PYTHONPATH=str(code)),
            cwd=code,
            url=None if name not in system.ports else system.ready_url(name),
        )
    for name in names:
        system.wait_ready(name)
