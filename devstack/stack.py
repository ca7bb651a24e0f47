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
    """``database_url`` is the superuser's."""

    database_url: str
    kafka_bootstrap_servers: str


def data_folder(checkout: Path = CHECKOUT) -> Path:
    """Return this checkout's data folder: ``.devstack``, or a separate folder in the system's temporary folder.

    As root, the database server runs as another user, who must be able to enter every parent folder. The permissions of
    a home directory are not changed for that.
    """
    if as_root() and not enterable(checkout):
        return own_folder(f"placewire-{hashlib.sha256(str(checkout).encode()).hexdigest()[:12]}")
    return make_folder(checkout / ".devstack")


class Stack:
    """Both servers below ``home``, by default the checkout's. Any program finds by ``home`` what another one started.

    A ``disposable`` stack belongs to the program that started it: it has random ports, and its data is deleted with it.
    Other stacks prefer the usual ports, then those of the last start, and run until they are stopped.
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
        """Final once started."""
        return Addresses(self.postgres.dsn, self.kafka.bootstrap_servers)

    @property
    def running(self) -> bool:
        return self.postgres.running and self.kafka.running

    @property
    def logs(self) -> dict[str, Path]:
        """The log file of each server and process."""
        ours = {one.name: Path(one.log) for one in self.record.processes}
        return {"postgres": self.postgres.log, "kafka": self.kafka.log, **ours}

    def start(self) -> Addresses:
        """Start both and return when both answer. Idempotent. If one fails, what did not run before is stopped again.

        Raises ``StackFailure``.
        """
        ensure_jars()
        with _alone():
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
            for started in [threads.submit(self.postgres.start), threads.submit(self.kafka.start)]:
                started.result()

    def launch(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = CHECKOUT,
        url: str | None = None,
    ) -> Process:
        """Start a process of ours against this stack. ``stop`` ends it, also from another program."""
        process = Process.start(name, command, log=self.home / f"{name}.log", env=env, cwd=cwd, url=url)
        self.record.add(process)
        return process

    def stop(self) -> list[str]:
        """Stop everything, the newest first, the servers last. Returns the names of what ran. Not cut short by signals.

        The data of a disposable stack is deleted.
        """
        with uninterrupted(), _alone():
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
            # Also those that its owner started beside these, in folders of their own below.
            for broker in self.home.glob(f"*/{Kafka.RECORD}"):
                Kafka(broker.parent).kill()
            for server in self.home.glob(f"*/{Postgres.PID_FILE}"):
                Postgres(server.parents[1]).kill()
        else:
            self.kafka.stop()
            self.postgres.stop()
        return stopped

    def __enter__(self) -> Self:
        """Start; when the block ends, or SIGTERM or SIGINT ends it, everything is stopped."""
        with ExitStack() as undo:
            undo.enter_context(interruptible())
            undo.callback(self.stop)
            self.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()


def _alone() -> AbstractContextManager[None]:
    """Allow one start or stop at a time per user, because a chosen port stays free until the server listens on it."""
    return exclusive(cache_folder() / "start.lock")


def remove_abandoned(folder: Path) -> None:
    """Stop and delete the disposable stacks below ``folder`` whose starter died without doing so."""
    for record_file in folder.glob(f"*/{Record.FILE}"):
        home = record_file.parent
        if Record.load(home).abandoned:
            Stack(home, disposable=True).stop()
