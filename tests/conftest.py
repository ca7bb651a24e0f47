"""Fixtures of all tests. They provide a real Postgres and a real Kafka. None of our own code is mocked."""

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
# Fixtures that apply to every test.
__all__ = ["in_the_loop", "no_tasks_left", "nothing_left"]


# Cheap password hashes make tests faster. Processes that tests start use the real hasher.
passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
passwords._unknown_user_hash = passwords._hasher.hash("nobody has this password")


def pytest_configure() -> None:
    """Disable garbage collection while tests are imported and collected, because nearly all objects stay in use."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude all objects so far from garbage collection, which would otherwise look at them again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Stop the servers of the run, in the process that started the run."""
    end_of_run()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Yield the superuser's address of this process's Postgres."""
    with ExitStack() as stack:
        with for_the_session():
            url = stack.enter_context(running_postgres())
        yield url


@pytest.fixture(scope="session")
def kafka_started() -> Iterator[str]:
    """Yield the address of the run's Kafka, which starts when a test first needs it."""
    with ExitStack() as stack:
        with for_the_session():
            address = stack.enter_context(running_kafka())
        yield address


@pytest.fixture
def servers(postgres_url: str, kafka_started: str) -> Iterator[Addresses]:
    """Yield the addresses of Postgres and Kafka. No other test of the run uses this Kafka meanwhile."""
    with turn_at_kafka():
        yield Addresses(postgres_url, kafka_started)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(postgres_url: str) -> AsyncIterator[Copies]:
    """Yield the pool of copies of a migrated database."""
    copies = Copies(postgres_url)
    await copies.prepare()
    yield copies
    await copies.close()


@asynccontextmanager
async def migrated_copy(template: Copies, *, verified: bool = True) -> AsyncIterator[str]:
    """Yield the superuser's address of a migrated database. Return the database to the pool when the block succeeds.

    Afterwards its tables must agree with its log, unless ``verified`` is false.
    """
    with for_the_session():
        url = await template.take()
    yield url
    with for_the_session():
        findings = await template.give_back(url, verified=verified)
    assert findings is None or not findings.differences, findings


@pytest_asyncio.fixture
async def database_url(template: Copies, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Yield the superuser's address of a migrated database for this test. It is verified unless marked ``damages``."""
    async with migrated_copy(template, verified=request.node.get_closest_marker("damages") is None) as url:
        yield url


async def must_verify(url: str) -> None:
    findings = await verify(url, SILENT, limit=3)
    assert not findings.differences, findings


@pytest_asyncio.fixture
async def owner(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Yield a superuser's connection to the test's database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@dataclass
class Api:
    """A client of an API in this process, with its real app and database. Each call is made with a role."""

    app: FastAPI
    client: httpx.AsyncClient
    database: Database

    async def _ask(self, method: str, path: str, role: str, user_id: int | None, **options: Any) -> httpx.Response:
        if user_id is None:  # a token without an account: refused while the API looks up every caller in the database
            await eventually(self.listening)
        signed_in = bearer(Role(role), user_id) if user_id is not None else bearer(Role(role))
        headers = {**signed_in, **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def listening(self) -> bool:
        """Return whether the API receives notifications of changed accounts, so that it looks up no caller."""
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
    """Disable the polls of workers in this process. They claim jobs only when they start or a test wakes them."""
    monkeypatch.setattr("chassis.jobs.worker.POLL_S", 3600)


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """Yield an API without relay, workers and Kafka. The jobs that it queues stay queued."""
    app = create_app(api_settings(database_url, tmp_path))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            api = Api(app, client, app.state.context.database)
            await eventually(api.listening)
            yield api


@pytest_asyncio.fixture
async def own_postgres() -> AsyncIterator[Postgres]:
    """Yield a separate Postgres with a migrated database. It is verified and deleted after the test."""
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
    """Yield a system with the test's database and without Kafka. The test starts the processes that it needs."""
    with running(database_url, NO_KAFKA, tmp_path, JOB_LEASE_S="2") as started:
        yield started
