"""The broker of a process that runs tests, and systems against it or without any."""

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
    """With ``--dist loadgroup``, let one process run all tests that need Kafka: it starts one broker.

    Those of ``live`` come one after the other, so that its processes seldom start. Tests of one ``module_system`` stay
    together, too.
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
    """The embedded broker of the run."""
    with for_the_session():
        return embedded_kafka()


@pytest.fixture
def own_kafka(broker: Kafka) -> Iterator[Kafka]:
    """A running broker that the test may suspend, kill, and start again. It runs when the test has ended."""
    with turn_at_kafka():
        yield broker
        broker.resume()
        broker.start()
    assert broker.pid is not None
    keep_for_the_session(broker.pid)


@pytest.fixture
def kafka_alone(own_kafka: Kafka, shared_system: System) -> Kafka:
    """``own_kafka``, with no process of ``shared_system`` in its consumer groups."""
    shared_system.stop_all()
    return own_kafka


@pytest.fixture
def separate_kafka() -> Iterator[Kafka]:
    """Another broker, whose data is this test's own. Not started yet."""
    kafka = Kafka(run_folder() / f"kafka-{os.urandom(4).hex()}")
    try:
        yield kafka
    finally:
        kafka.resume()
        kafka.kill()
        shutil.rmtree(kafka.home, ignore_errors=True)


@pytest.fixture(scope="module")
def module_system(template: Copies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Like ``system``, but for all tests of a module, one after the other."""
    folder = tmp_path_factory.mktemp("system")
    with own_database(template) as url, running(url, NO_KAFKA, folder, JOB_LEASE_S="2") as started:
        yield started


@pytest.fixture
def kafka_system(database_url: str, kafka_alone: Kafka, tmp_path: Path) -> Iterator[System]:
    """The same with Kafka."""
    with running(database_url, kafka_alone.bootstrap_servers, tmp_path, JOB_LEASE_S="2") as started:
        yield started


@pytest.fixture(scope="session")
def shared_system(template: Copies, broker: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with ``LIVE_STUDENTS`` that tests use one after the other; verified in the end."""
    settings = {"JOB_LEASE_S": "2", **QUIET_CLOCK}
    with own_database(template) as url:
        asyncio.run(_enrolled(url))
        with running(url, broker.bootstrap_servers, tmp_path_factory.mktemp("live"), **settings) as system:
            yield system


@contextmanager
def own_database(template: Copies) -> Iterator[str]:
    """A migrated database for several tests, verified in the end."""
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
    """The shared system, complete and relying on Kafka, whatever the test before has done to it."""
    await asyncio.to_thread(shared_system.revive, *PROCESSES)
    await shared_system.until_bus_is("closed", *CONSUMERS)
    yield shared_system
    keep_for_the_session(*(process.pid for process in shared_system.processes.values() if process.running))


@pytest_asyncio.fixture
async def live_owner(live: System) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A superuser's connection to the database of ``live``."""
    connection = await asyncpg.connect(live.database_url)
    yield connection
    await connection.close()
