"""Start, find, stop, kill and suspend child processes by handle, never by name. Later commands can find them again."""

import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path

import psutil

from devstack.failures import NotReady

POLL_S = 0.05
LOG_TAIL_LINES = 20
# psutil computes a creation time from the time of boot, which moves a little when the clock is set.
SAME_START_WITHIN_S = 2.0
KILL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process started by this or another program. ``created`` distinguishes it from a later process with its pid."""

    name: str
    pid: int
    created: float
    log: str
    url: str | None = None

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        url: str | None = None,
    ) -> "Process":
        """Start ``command`` in its own session, so that it may outlive this program. Its output goes to ``log``.

        The caller must stop it, with ``stop`` in a ``finally``. ``Stack.launch`` records it for a later ``Stack.stop``.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
            )
        _children[child.pid] = child
        return cls(name, child.pid, psutil.Process(child.pid).create_time(), str(log), url)

    @classmethod
    def this_program(cls) -> "Process":
        own = psutil.Process()
        return cls("starter", own.pid, own.create_time(), log="")

    def as_dict(self) -> dict[str, object]:
        """Return the arguments from which ``Process(**...)`` creates the same handle in another program."""
        return asdict(self)

    @property
    def running(self) -> bool:
        return self._find() is not None

    def stop(self, grace_s: float = 30) -> None:
        """Send SIGTERM, and SIGKILL after ``grace_s`` seconds. Wait for the end. Does nothing if it has ended."""
        if (process := self._find()) is not None:
            signalled([process], signal.SIGTERM)
            signalled([process], signal.SIGCONT)  # a suspended process does not handle SIGTERM
            if not self._ends_within(grace_s):
                self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        if (process := self._find()) is not None:
            signalled([process], signal.SIGKILL)
            if not self._ends_within(KILL_TIMEOUT_S):
                raise NotReady(f"{self.name} (pid {self.pid}) does not end")

    def suspend(self) -> None:
        if (process := self._find()) is not None:
            signalled([process], signal.SIGSTOP)

    def resume(self) -> None:
        if (process := self._find()) is not None:
            signalled([process], signal.SIGCONT)

    def rss_bytes(self) -> int:
        """Return the resident memory in bytes; 0 when the process has ended."""
        process = self._find()
        return int(process.memory_info().rss) if process is not None else 0

    def wait_ready(self, url: str | None = None, *, timeout_s: float = 30) -> None:
        """Wait until ``url`` (by default the process's own) answers 2xx. Raises ``NotReady``."""
        target = url or self.url
        if target is None:
            raise ValueError(f"{self.name} has no address to wait for")
        deadline = time.monotonic() + timeout_s
        while not _answers(target):
            if not self.running:
                raise NotReady(f"{self.name} ended:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} did not answer at {target} in {timeout_s:.0f} s:\n{self.log_tail()}")
            time.sleep(POLL_S)

    def log_tail(self) -> str:
        return tail(Path(self.log))

    def _find(self) -> psutil.Process | None:
        _reap(self.pid)
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.created) < SAME_START_WITHIN_S
        except psutil.NoSuchProcess:
            return None
        return process if is_same and alive(process) else None

    def _ends_within(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def alive(process: psutil.Process) -> bool:
    """Return whether ``process`` runs. A zombie does not run, although a container without init never reaps it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def signalled(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send the signal ``number`` to each process that still runs."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last ``lines`` of a log file, or a sentence when there is no such file."""
    if not log.is_file():
        return f"(there is no {log.name})"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


# The children of this program. They are polled, so that dead ones do not stay zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own address
            return bool(200 <= response.status < 300)
    except (OSError, HTTPException):
        return False
