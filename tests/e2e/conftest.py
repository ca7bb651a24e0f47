"""Fixtures of the end-to-end tests: a broker, and systems with or without it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from devstack.kafka import Kafka
from tests.support.bulk_students import enrol
from tests.support.database_clones import Copies
from tests.support.leftovers import for_the_session, keep_for_the_session
from tests.support.servers import embedded_kafka, run_folder, turn_at_kafka
from tests.support.system import CONSUMERS, NO_KAFKA, QUIET_CLOCK, System, running

LIVE_STUDENTS = 300
PROCESSES = (*CONSUMERS, "relay", "api")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for ``--dist loadgroup``. One process runs all tests that need Kafka, so there is one broker.

    Tests with ``live`` run one after the other, so that its processes seldom start. Tests of one ``module_system`` also
    stay together.
    """
    for item in items:
        needed = getattr(item, "fixturenames", ())
        if {"broker", "kafka_started"} & set(needed):
            item.add_marker(pytest.mark.xdist_group("kafka"))
        elif "module_system" in needed:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: "live" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def broker() -> Kafka:
    """Return the embedded broker of the run."""
    with for_the_session():
        return embedded_kafka()


@pytest.fixture
def own_kafka(broker: Kafka) -> Iterator[Kafka]:
    """Yield a running broker that the test may suspend, kill and start. It runs again after the test."""
    with turn_at_kafka():
        yield broker
        broker.resume()
        broker.start()
    assert broker.pid is not None
    keep_for_the_session(broker.pid)


@pytest.fixture
def kafka_alone(own_kafka: Kafka, shared_system: System) -> Kafka:
    """Return ``own_kafka`` without processes of ``shared_system`` in its consumer groups."""
    shared_system.stop_all()
    return own_kafka


@pytest.fixture
def separate_kafka() -> Iterator[Kafka]:
    """Yield another broker with its own data. It is not started yet."""
    kafka = Kafka(run_folder() / f"kafka-{os.urandom(4).hex()}")
    try:
        yield kafka
    finally:
        kafka.resume()
        kafka.kill()
        shutil.rmtree(kafka.home, ignore_errors=True)


@pytest.fixture(scope="module")
def module_system(template: Copies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Yield a system like ``system`` that all tests of a module share."""
    folder = tmp_path_factory.mktemp("system")
    with own_database(template) as url, running(url, NO_KAFKA, folder, JOB_LEASE_S="2") as started:
        yield started


@pytest.fixture
def kafka_system(database_url: str, kafka_alone: Kafka, tmp_path: Path) -> Iterator[System]:
    """Yield a system like ``system`` with Kafka."""
    with running(database_url, kafka_alone.bootstrap_servers, tmp_path, JOB_LEASE_S="2") as started:
        yield started


@pytest.fixture(scope="session")
def shared_system(template: Copies, broker: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Yield a system with ``LIVE_STUDENTS`` that tests use one after the other. It is verified at the end."""
    settings = {"JOB_LEASE_S": "2", **QUIET_CLOCK}
    with own_database(template) as url:
        asyncio.run(_enrolled(url))
        with running(url, broker.bootstrap_servers, tmp_path_factory.mktemp("live"), **settings) as system:
            yield system


@contextmanager
def own_database(template: Copies) -> Iterator[str]:
    """Yield a migrated database for several tests. It is verified at the end."""
    with for_the_session():
        url = asyncio.run(template.take())
    yield url
    findings = asyncio.run(template.give_back(url, verified=True))
    assert findings is None or not findings.differences, findings


async def _enrolled(url: str) -> None:
    owner = await asyncpg.connect(url)
    await enrol(owner, LIVE_STUDENTS)
    await owner.close()


@pytest_asyncio.fixture
async def live(shared_system: System, own_kafka: Kafka) -> AsyncIterator[System]:
    """Yield the shared system, with all processes running and closed breakers."""
    await asyncio.to_thread(shared_system.revive, *PROCESSES)
    await shared_system.until_bus_is("closed", *CONSUMERS)
    yield shared_system
    keep_for_the_session(*(process.pid for process in shared_system.processes.values() if process.running))


@pytest_asyncio.fixture
async def live_owner(live: System) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Yield a superuser's connection to the database of ``live``."""
    connection = await asyncpg.connect(live.database_url)
    yield connection
    await connection.close()
