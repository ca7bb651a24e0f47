"""The servers that tests share: one Postgres for each process that runs tests, one Kafka for the whole run.

Each process has its own Postgres, because a reader of the log waits for all older transactions of its server, in every
database. Processes take turns at the shared Kafka, because topics and consumer groups have the same names for every
database.

``devstack.choice`` decides whether given addresses, containers or embedded servers are used. A container belongs to the
process that started it, so with containers each process has its own Kafka.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

from devstack import choice
from devstack.artifacts import ensure_jars
from devstack.exclusive import exclusive
from devstack.interruption import interruptible
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.processes import Process
from devstack.record import Record
from devstack.stack import Stack, data_folder, remove_abandoned
from devstack.unprivileged import make_folder
from migrations import runner

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


def run_process() -> psutil.Process:
    """Return the main process of the run: this process, or with pytest-xdist the parent process."""
    own = psutil.Process()
    return psutil.Process(own.ppid()) if WORKER else own


@cache
def run_folder() -> Path:
    """Return the folder of the run's data.

    ``end_of_run`` deletes it. If the run's main process dies before, the next run deletes it.
    """
    process = run_process()
    folder = data_folder() / f"test-{process.pid}"
    with exclusive(data_folder() / "test-runs.lock"):
        remove_abandoned(folder.parent)
        record = Record.load(folder)
        if record.starter is None:
            make_folder(folder)
            record.starter = Process("tests", process.pid, process.create_time(), log="")
            record.save()
    return folder


def end_of_run() -> None:
    """Stop everything that the run has started and delete its data. Does nothing outside of the run's main process."""
    folder = data_folder() / f"test-{os.getpid()}"
    if (folder / Record.FILE).exists():
        Stack(folder, disposable=True).stop()


@contextmanager
def running_postgres() -> Iterator[str]:
    """Yield the superuser's address of this process's server.

    The server does not wait for the disk. Tests that crash a server use a separate server that does.
    """
    match choice.kind():
        case "given":
            yield os.environ["TEST_DATABASE_URL"]
        case "containers":
            from devstack.containers import TrustingPostgresContainer

            with TrustingPostgresContainer(durable=False) as container:
                yield container.dsn
        case _:
            server = Postgres(run_folder() / f"postgres{WORKER}", durable=False)
            with interruptible():
                try:
                    server.start()
                    yield server.dsn
                finally:
                    server.kill()


def migrated_cluster() -> Path:
    """Return the folder of a stopped server with a migrated database. It is created once for each run."""
    home = run_folder() / "migrated"
    with exclusive(run_folder() / "migrated.lock"):
        server = Postgres(home)
        if not (home / "ready").exists():
            server.start()
            asyncio.run(runner.migrate(server.dsn.replace("postgresql://", "postgresql+asyncpg://")))
            server.stop()
            (home / "ready").touch()
    return home


def migrated_postgres(home: Path) -> Postgres:
    """Start a new server with a migrated database. Its data is in ``home``."""
    subprocess.run(["cp", "-a", str(migrated_cluster()), str(home)], check=True)
    for name in ("ready", "port"):
        (home / name).unlink()
    server = Postgres(home)
    server.start()
    return server


@contextmanager
def running_kafka() -> Iterator[str]:
    """Start the run's broker if it does not run yet, and yield its address. The broker runs until the run ends."""
    match choice.kind():
        case "given":
            yield os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]
        case "containers":
            from devstack.containers import KafkaContainer

            with KafkaContainer() as container:
                yield container.bootstrap_servers
        case _:
            yield embedded_kafka().bootstrap_servers


def embedded_kafka() -> Kafka:
    """Return the run's embedded broker. The first call starts it. The broker runs until the run ends."""
    ensure_jars()
    with exclusive(run_folder() / "kafka.lock"):
        broker = Kafka(run_folder() / "kafka")
        broker.start()
    return broker


@contextmanager
def turn_at_kafka() -> Iterator[None]:
    """Lock the shared Kafka for this process until the block ends. Waits until no other process of the run uses it."""
    with exclusive(run_folder() / "kafka-turn.lock"):
        yield
