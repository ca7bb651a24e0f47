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
# A creation time is counted from the time of boot, which moves a little when the clock is set.
SAME_START_WITHIN_S = 2.0
DIES_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process started here or by an earlier command. ``created`` distinguishes it from a later one with its pid."""

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
        """Start ``command`` in a session of its own, so that it may outlive this program. Output goes to ``log``.

        Nothing stops it by itself: call ``stop`` in a ``finally``, or ``Stack.launch``, which keeps it on record.
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
        return self._found() is not None

    def stop(self, grace_s: float = 30) -> None:
        """Send SIGTERM, then SIGKILL after ``grace_s`` seconds. Wait for the end. Does nothing if it has ended."""
        if (found := self._found()) is not None:
            signalled([found], signal.SIGTERM)
            signalled([found], signal.SIGCONT)  # a suspended one would not see it
            if not self._gone_within(grace_s):
                self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        if (found := self._found()) is not None:
            signalled([found], signal.SIGKILL)
            if not self._gone_within(DIES_WITHIN_S):
                raise NotReady(f"{self.name} (pid {self.pid}) does not die")

    def suspend(self) -> None:
        if (found := self._found()) is not None:
            signalled([found], signal.SIGSTOP)

    def resume(self) -> None:
        if (found := self._found()) is not None:
            signalled([found], signal.SIGCONT)

    def rss_bytes(self) -> int:
        """Return the resident memory in bytes; 0 when the process has ended."""
        found = self._found()
        return int(found.memory_info().rss) if found is not None else 0

    def wait_ready(self, url: str | None = None, *, timeout_s: float = 30) -> None:
        """Return once ``url`` (by default its own) answers 2xx. Raises ``NotReady``."""
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

    def _found(self) -> psutil.Process | None:
        _reap(self.pid)
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < SAME_START_WITHIN_S
        except psutil.NoSuchProcess:
            return None
        return found if same and alive(found) else None

    def _gone_within(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def alive(process: psutil.Process) -> bool:
    """Return whether ``process`` runs. A zombie does not: a container without an init process never reaps it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def signalled(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send ``number`` to each that still lives."""
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


# Handles of this program's own children, so that a dead one is not left a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(200 <= answer.status < 300)
    except (OSError, HTTPException):
        return False
