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
from argon2 import PasswordHasher
from fastapi import FastAPI

from chassis.postgres.database import Database
from cli.replay.verification import verify
from contracts.users import Role
from devstack.postgres import Postgres
from devstack.stack import Addresses
from services.api.main import create_app
from services.api.users import passwords
from tests.support.database_clones import SILENT, Copies
from tests.support.eventually import eventually
from tests.support.leftovers import for_the_session, in_the_loop, no_tasks_left, nothing_left
from tests.support.servers import (
    end_of_run,
    migrated_postgres,
    run_folder,
    running_kafka,
    running_postgres,
    turn_at_kafka,
)
from tests.support.service_settings import api_settings
from tests.support.system import NO_KAFKA, System, bearer, running

pytest_plugins = ["tests.support.run_report"]
# Fixtures of every test.
__all__ = ["in_the_loop", "no_tasks_left", "nothing_left"]


# A hash that costs 20 ms proves no more than one that costs 0.1 ms. Processes of their own have the real one.
passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
passwords._unknown_user_hash = passwords._hasher.hash("nobody has this password")


def pytest_configure() -> None:
    """Collect no garbage while tests are imported and collected: nearly all of it stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keep what was imported and collected from the garbage collector: it would go through all that again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """In the run's own process: stop the servers that were started for it."""
    end_of_run()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The superuser's address of this process's Postgres."""
    with ExitStack() as stack:
        with for_the_session():
            url = stack.enter_context(running_postgres())
        yield url


@pytest.fixture(scope="session")
def kafka_started() -> Iterator[str]:
    """The address of the run's Kafka, which is started when the first test asks for it."""
    with ExitStack() as stack:
        with for_the_session():
            address = stack.enter_context(running_kafka())
        yield address


@pytest.fixture
def servers(postgres_url: str, kafka_started: str) -> Iterator[Addresses]:
    """Postgres and Kafka, for a test that uses the bus; while it runs, no other test of the run uses this Kafka."""
    with turn_at_kafka():
        yield Addresses(postgres_url, kafka_started)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(postgres_url: str) -> AsyncIterator[Copies]:
    """Copies of a migrated database."""
    copies = Copies(postgres_url)
    await copies.prepare()
    yield copies
    await copies.close()


@asynccontextmanager
async def migrated_copy(template: Copies, *, verified: bool = True) -> AsyncIterator[str]:
    """The superuser's address of a migrated database, given back when the block has ended well.

    Whatever was done in it, the log must then say what the tables say, unless ``verified`` is false.
    """
    with for_the_session():
        url = await template.take()
    yield url
    with for_the_session():
        findings = await template.give_back(url, verified=verified)
    assert findings is None or not findings.differences, findings


@pytest_asyncio.fixture
async def database_url(template: Copies, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The superuser's address of a migrated database of this test's own (tests marked ``damages``: not verified)."""
    async with migrated_copy(template, verified=request.node.get_closest_marker("damages") is None) as url:
        yield url


async def must_verify(url: str) -> None:
    findings = await verify(url, SILENT, limit=3)
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
    app = create_app(api_settings(database_url, tmp_path))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            api = Api(app, client, app.state.context.database)
            await eventually(api.listening)
            yield api


@pytest_asyncio.fixture
async def own_postgres() -> AsyncIterator[Postgres]:
    """A server of this test's own, with a migrated database; verified and gone afterwards."""
    home = run_folder() / f"postgres-{os.urandom(4).hex()}"
    try:
        server = await asyncio.to_thread(migrated_postgres, home)
        yield server
        await must_verify(server.dsn)
    finally:
        Postgres(home).kill()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def system(database_url: str, tmp_path: Path) -> Iterator[System]:
    """Processes and a database of this test's own, without Kafka; the test starts the processes that it needs."""
    with running(database_url, NO_KAFKA, tmp_path, JOB_LEASE_S="2") as started:
        yield started
