"""Run Postgres and Kafka together, with the Placewire processes that use them."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from devstack.artifacts import cache_folder, ensure_jars
from devstack.exclusive import exclusive
from devstack.interruption import interruptible, uninterrupted
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.processes import Process
from devstack.record import Record
from devstack.unprivileged import as_root, enterable, make_folder, own_folder

CHECKOUT = Path(__file__).resolve().parents[1]
POSTGRES_PORT = 5432
KAFKA_PORT = 9092


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of both servers. ``database_url`` is the superuser's."""

    database_url: str
    kafka_bootstrap_servers: str


def data_folder(checkout: Path = CHECKOUT) -> Path:
    """Return this checkout's data folder: ``.devstack``, or a separate folder in the system's temporary folder.

    If this program runs as root, the database server runs as another user, who must be able to enter every parent
    folder. The permissions of a home directory are not changed for that.
    """
    if as_root() and not enterable(checkout):
        return own_folder(f"placewire-{hashlib.sha256(str(checkout).encode()).hexdigest()[:12]}")
    return make_folder(checkout / ".devstack")


class Stack:
    """Both servers, with their data below ``home``; by default this checkout's folder. Any program finds them by it.

    A ``disposable`` stack belongs to the program that started it: it has random ports, and ``stop`` deletes its data.
    Other stacks use the usual ports if they are free, else those of the last start, and run until they are stopped.
    ``durable``: see ``Postgres``.
    """

    def __init__(self, home: Path | None = None, *, disposable: bool = False, durable: bool = True) -> None:
        self.home = (home or data_folder()).resolve()
        self.disposable = disposable
        self.postgres = Postgres(self.home / "postgres", None if disposable else POSTGRES_PORT, durable=durable)
        self.kafka = Kafka(self.home / "kafka", None if disposable else KAFKA_PORT)
        self.record = Record.load(self.home)

    @property
    def addresses(self) -> Addresses:
        """Return the addresses. ``start`` may still change the ports."""
        return Addresses(self.postgres.dsn, self.kafka.bootstrap_servers)

    @property
    def running(self) -> bool:
        return self.postgres.running and self.kafka.running

    @property
    def logs(self) -> dict[str, Path]:
        """Return the log file of each server and process, by name."""
        processes = {process.name: Path(process.log) for process in self.record.processes}
        return {"postgres": self.postgres.log, "kafka": self.kafka.log, **processes}

    def start(self) -> Addresses:
        """Start both servers and wait until both answer. Idempotent.

        If one fails, stop those that did not run before, and raise ``StackFailure``.
        """
        ensure_jars()
        with _one_at_a_time():
            make_folder(self.home)
            if self.disposable:
                self.record.starter = Process.this_program()
                self.record.save()
            stopped = [server for server in (self.kafka, self.postgres) if not server.running]
            try:
                self._start()
            except BaseException:
                with uninterrupted():
                    for server in stopped:
                        server.stop()
                raise
        return self.addresses

    def _start(self) -> None:
        with ThreadPoolExecutor(2) as threads:
            for start in [threads.submit(self.postgres.start), threads.submit(self.kafka.start)]:
                start.result()

    def launch(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = CHECKOUT,
        url: str | None = None,
    ) -> Process:
        """Start a process of Placewire that uses this stack. ``stop`` ends it, also if another program calls it."""
        process = Process.start(name, command, log=self.home / f"{name}.log", env=env, cwd=cwd, url=url)
        self.record.add(process)
        return process

    def stop(self) -> list[str]:
        """Stop all processes, the newest first, then the servers. Return the names of those that were running.

        Deletes the data of a disposable stack. Signals do not interrupt it.
        """
        with uninterrupted(), _one_at_a_time():
            self.record = Record.load(self.home)
            stopped = []
            for process in reversed(self.record.processes):
                if process.running:
                    process.stop()
                    stopped.append(process.name)
            stopped += self._stop_servers()
            self.record.clear()
            if self.disposable and self.home.exists():
                shutil.rmtree(self.home)
            return stopped

    def _stop_servers(self) -> list[str]:
        stopped = [name for name, server in (("kafka", self.kafka), ("postgres", self.postgres)) if server.running]
        if self.disposable:
            # The owner of the stack may have started more servers in folders below its home.
            for broker in self.home.glob(f"*/{Kafka.RECORD}"):
                Kafka(broker.parent).kill()
            for server in self.home.glob(f"*/{Postgres.PID_FILE}"):
                Postgres(server.parents[1]).kill()
        else:
            self.kafka.stop()
            self.postgres.stop()
        return stopped

    def __enter__(self) -> Self:
        """Start the stack. It is stopped when the block ends, also by SIGTERM or SIGINT."""
        with ExitStack() as undo:
            undo.enter_context(interruptible())
            undo.callback(self.stop)
            self.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()


def _one_at_a_time() -> AbstractContextManager[None]:
    """Allow one start or stop at a time per user, because a chosen port stays free until the server listens on it."""
    return exclusive(cache_folder() / "start.lock")


def remove_abandoned(folder: Path) -> None:
    """Stop and delete the disposable stacks below ``folder`` whose starter died without stopping them."""
    for record_file in folder.glob(f"*/{Record.FILE}"):
        home = record_file.parent
        if Record.load(home).abandoned:
            Stack(home, disposable=True).stop()
