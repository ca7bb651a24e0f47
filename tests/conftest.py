"""Real Postgres and real Kafka for every test that needs one; nothing of ours is mocked."""

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from chassis.postgres.database import Database
from cli.replay.verification import ProgressCallbacks, verify
from contracts.users import Role
from devstack.choice import chosen
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.stack import Addresses, data_folder
from migrations import runner
from services.api.main import create_app
from services.api.settings import ApiSettings
from tests.support.database_clones import TEMPLATE, Copies, contents, named
from tests.support.eventually import eventually
from tests.support.leftovers import for_the_session, in_the_loop, no_tasks_left, nothing_left
from tests.support.system import SECRET, System, as_role, bearer, running

# Fixtures of every test.
__all__ = ["in_the_loop", "no_tasks_left", "nothing_left"]


def pytest_collection_finish() -> None:
    """Keep what was imported and collected from the garbage collector: it would go through all that again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """Postgres and Kafka, one pair for each process that runs tests.

    Tests of two processes share none: a reader of the log waits for every older transaction of its server, whatever the
    database. Postgres does not wait for the disk: tests that crash a server have one of their own, which does.
    """
    home = data_folder() / f"test-{os.getpid()}"
    with ExitStack() as stack:
        with for_the_session():
            addresses = stack.enter_context(chosen(home, durable=False))
        yield addresses
    shutil.rmtree(home, ignore_errors=True)


async def _make_template(url: str) -> dict[str, str | None]:
    """Return the contents of its tables, which verify."""
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(f'DROP DATABASE IF EXISTS "{TEMPLATE}" WITH (FORCE)')
        await admin.execute(f'CREATE DATABASE "{TEMPLATE}"')
    finally:
        await admin.close()
    await runner.migrate(named(url, TEMPLATE).replace("postgresql://", "postgresql+asyncpg://"))
    await must_verify(named(url, TEMPLATE))
    return await contents(named(url, TEMPLATE))


@pytest.fixture(scope="session")
def template(servers: Addresses) -> Copies:
    """Copies of a migrated database."""
    return Copies(servers.database_url, asyncio.run(_make_template(servers.database_url)))


@asynccontextmanager
async def migrated_copy(template: Copies, *, verified: bool = True) -> AsyncIterator[str]:
    """The superuser's address of a migrated database, dropped when the block has ended well.

    Whatever was done in it, the log must then say what the tables say, unless ``verified`` is false.
    """
    url = await template.take()
    yield url
    # A copy that holds what the template holds is as sound as the template.
    if verified and not await template.is_as_made(url):
        await must_verify(url)
    await template.drop(url)


@pytest_asyncio.fixture
async def database_url(template: Copies, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The superuser's address of a migrated database of this test's own (tests marked ``damages``: not verified)."""
    async with migrated_copy(template, verified=request.node.get_closest_marker("damages") is None) as url:
        yield url


async def must_verify(url: str) -> None:
    findings = await verify(url, ProgressCallbacks(began=lambda _: None, projected=lambda _: None), limit=3)
    assert not findings.differences, findings


@pytest_asyncio.fixture
async def owner(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A superuser's connection, for looking and for damage."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@dataclass
class Api:
    """The API in this process, over its real app and database; each call is made as a role."""

    app: FastAPI
    client: httpx.AsyncClient
    database: Database

    async def _ask(self, method: str, path: str, role: str, user_id: int | None, **options: Any) -> httpx.Response:
        if user_id is None:  # nobody's token: refused while the API asks the database about every caller
            await eventually(self.listening)
        signed_in = bearer(Role(role), user_id) if user_id is not None else bearer(Role(role))
        headers = {**signed_in, **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def listening(self) -> bool:
        """Return whether the API knows every change of an account and asks the database about none."""
        return bool(self.app.state.guard.changes.listening)

    async def get(self, path: str, role: str = "HEAD", user_id: int | None = None, **options: Any) -> httpx.Response:
        return await self._ask("GET", path, role, user_id, **options)

    async def post(self, path: str, role: str = "HEAD", user_id: int | None = None, **options: Any) -> httpx.Response:
        return await self._ask("POST", path, role, user_id, **options)

    async def patch(self, path: str, role: str = "HEAD", user_id: int | None = None, **options: Any) -> httpx.Response:
        return await self._ask("PATCH", path, role, user_id, **options)

    async def delete(self, path: str, role: str = "HEAD", user_id: int | None = None, **options: Any) -> httpx.Response:
        return await self._ask("DELETE", path, role, user_id, **options)


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers of this process claim jobs when they start and when a test wakes them, and never by polling."""
    monkeypatch.setattr("chassis.jobs.worker.POLL_S", 3600)


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The API alone: no relay, no worker, no bus. Jobs it asks for stay queued."""
    settings = ApiSettings(
        environment="development",
        database_url=as_role(database_url, "placewire_api"),
        jwt_secret=SECRET,
        internal_secret=SECRET,
        storage_url=(tmp_path / "uploads").as_uri(),
        eligibility_url="http://127.0.0.1:9",
        exporter_url="http://127.0.0.1:9",
        maintenance_url="http://127.0.0.1:9",
        log_format="text",
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            api = Api(app, client, app.state.context.database)
            await eventually(api.listening)
            yield api


@pytest.fixture
def own_kafka() -> Iterator[Kafka]:
    """A broker of this test's own, to be killed and brought back. Not started yet."""
    kafka = Kafka(data_folder() / f"test-{os.getpid()}" / f"kafka-{os.urandom(4).hex()}")
    try:
        yield kafka
    finally:
        kafka.resume()
        kafka.kill()
        shutil.rmtree(kafka.home, ignore_errors=True)


@pytest_asyncio.fixture
async def own_postgres() -> AsyncIterator[Postgres]:
    """A server of this test's own, with a migrated database; verified and gone afterwards."""
    server = Postgres(data_folder() / f"test-{os.getpid()}" / f"postgres-{os.urandom(4).hex()}")
    try:
        await asyncio.to_thread(server.start)
        await runner.migrate(server.dsn.replace("postgresql://", "postgresql+asyncpg://"))
        yield server
        await must_verify(server.dsn)
    finally:
        server.kill()
        shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture
def isolated(database_url: str, own_kafka: Kafka, tmp_path: Path) -> Iterator[System]:
    """The real processes against ``own_kafka``."""
    with running(database_url, own_kafka.bootstrap_servers, tmp_path, JOB_LEASE_S="2") as started:
        yield started


@pytest.fixture
def system(database_url: str, servers: Addresses, tmp_path: Path) -> Iterator[System]:
    """The real processes against the shared servers; the test starts those it needs."""
    with running(database_url, servers.kafka_bootstrap_servers, tmp_path) as started:
        yield started
