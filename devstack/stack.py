"""Postgres and Kafka side by side, and the record of everything that a checkout has running."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.artifacts import ensure_jars
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.processes import Process

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Addresses:
    """``database_url`` is the superuser's."""

    database_url: str
    kafka_bootstrap_servers: str


def data_folder(checkout: Path = CHECKOUT) -> Path:
    """Where this checkout keeps its data: ``.devstack``, or a folder of its own below the system's temporary one.

    As root the database server runs as another user, who must get through every parent; a home directory is not
    opened for that.
    """
    if os.geteuid() == 0 and Path.home().resolve() in (checkout, *checkout.parents):
        digest = hashlib.sha256(str(checkout).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"placewire-{digest}"
    return checkout / ".devstack"


class Stack:
    """Both servers below ``home``. ``start`` takes a few seconds; ``stop`` leaves the data."""

    def __init__(
        self, home: Path | None = None, *, postgres_port: int | None = None, kafka_port: int | None = None
    ) -> None:
        self.home = home or data_folder()
        self.postgres = Postgres(self.home / "postgres", postgres_port)
        self.kafka = Kafka(self.home / "kafka", kafka_port)

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.postgres.dsn, self.kafka.bootstrap_servers)

    def start(self) -> Addresses:
        """Start both and return when both answer. If one fails, neither is left running."""
        ensure_jars()
        try:
            with ThreadPoolExecutor(2) as threads:
                for started in [threads.submit(self.postgres.start), threads.submit(self.kafka.start)]:
                    started.result()
        except BaseException:
            self.stop()
            raise
        return self.addresses

    def stop(self) -> None:
        self.kafka.stop()
        self.postgres.stop()

    @contextmanager
    def running(self) -> Iterator[Addresses]:
        try:
            yield self.start()
        finally:
            self.stop()


@dataclass(slots=True)
class Record:
    """What a checkout left running, in a file, so that a later command stops exactly that."""

    path: Path
    postgres_home: str | None = None
    processes: list[Process] = field(default_factory=list)

    @classmethod
    def load(cls, home: Path) -> "Record":
        path = home / "running.json"
        if not path.exists():
            return cls(path)
        found = json.loads(path.read_text())
        return cls(path, found["postgres_home"], [Process(**one) for one in found["processes"]])

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"postgres_home": self.postgres_home, "processes": [one.as_dict() for one in self.processes]}
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps(content, indent=2))
        scratch.replace(self.path)

    def stop_all(self) -> list[str]:
        """Stop what is on record, the newest first, Postgres last. Returns the names of what ran."""
        stopped = []
        for process in reversed(self.processes):
            if process.running:
                process.stop()
                stopped.append(process.name)
        if self.postgres_home is not None:
            postgres = Postgres(Path(self.postgres_home))
            if postgres.running:
                postgres.stop()
                stopped.append("postgres")
        self.path.unlink(missing_ok=True)
        return stopped
