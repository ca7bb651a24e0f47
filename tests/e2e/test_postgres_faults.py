"""Postgres stops, becomes read-only, or has no connection left: nothing is lost, and every process recovers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.users import Role
from devstack.ports import LOOPBACK
from devstack.postgres import Postgres
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.retrying_client import Ledger, head_of_its_own, insisting
from tests.support.sizes import sized
from tests.support.system import System, bearer, running

READ_ONLY_S = sized(small=2, full=10)
NO_BUS = f"{LOOPBACK}:9"


@asynccontextmanager
async def under_load(postgres: Postgres, folder: Path) -> AsyncIterator[tuple[System, httpx.AsyncClient, Ledger]]:
    """Run API and eligibility on ``postgres`` with retrying clients. Afterwards check each accepted request."""
    async with superuser(postgres) as owner:
        await enrol(owner, 50)
    ledger, stop = Ledger(), asyncio.Event()
    with running(postgres.dsn, NO_BUS, folder) as system:
        for name in ("eligibility", "api"):
            system.start(name)
        pids = {name: process.pid for name, process in system.processes.items()}
        async with system.client() as client, asyncio.TaskGroup() as tasks:
            client.headers.update(bearer(Role.HEAD, await head_of_its_own(client)))
            for number in range(3):
                tasks.create_task(insisting([client], ledger, stop, name=f"c{number}", tries=200, pause_s=0.2))
            try:
                await more_of(ledger)
                yield system, client, ledger
                await more_of(ledger)
            finally:
                stop.set()
        assert {name: process.pid for name, process in system.processes.items() if process.running} == pids
        await check_accepted(postgres, ledger)


@asynccontextmanager
async def superuser(postgres: Postgres) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    owner = await asyncpg.connect(postgres.dsn)
    try:
        yield owner
    finally:
        await owner.close()


async def execute(postgres: Postgres, statement: str) -> None:
    async with superuser(postgres) as owner:
        await owner.execute(statement)


async def more_of(ledger: Ledger) -> None:
    """Wait until four more requests have been accepted."""
    before = len(ledger.accepted)

    async def more() -> bool:
        return len(ledger.accepted) > before + 3

    await eventually(more, within_s=60)


async def check_accepted(postgres: Postgres, ledger: Ledger) -> None:
    owner = await asyncpg.connect(postgres.dsn)
    try:

        async def all_done() -> bool:
            return bool(await owner.fetchval("SELECT bool_and(state = 'succeeded') FROM es.job"))

        await eventually(all_done, within_s=60)
        drive_ids = {row["drive_id"] for row in await owner.fetch("SELECT drive_id FROM drives")}
        results = "SELECT count(*) FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1'"
        assert await owner.fetchval(results) == len(drive_ids)
    finally:
        await owner.close()
    assert not ledger.refused
    assert drive_ids == {drive["drive_id"] for drive in ledger.accepted.values()}


async def refused(client: httpx.AsyncClient) -> None:
    """Wait until a command gets 503 with Retry-After."""

    async def unavailable() -> bool:
        answer: Any = await client.post("/api/drives", json=DRIVE, headers={"Idempotency-Key": "c0-0"})
        assert answer.status_code in (200, 201, 202, 422, 503), answer.text
        return bool(answer.status_code == 503 and answer.headers["Retry-After"])

    await eventually(unavailable, within_s=15)


@pytest.mark.timeout(240)
async def test_a_read_only_server_causes_503_and_nothing_is_lost(own_postgres: Postgres, tmp_path: Path) -> None:
    async with under_load(own_postgres, tmp_path) as (_, client, _ledger):
        await execute(own_postgres, "ALTER SYSTEM SET default_transaction_read_only = on")
        await execute(own_postgres, "SELECT pg_reload_conf()")
        await refused(client)
        assert (await client.get("/api/drives")).status_code == 200
        await asyncio.sleep(READ_ONLY_S)
        await execute(own_postgres, "ALTER SYSTEM RESET default_transaction_read_only")
        await execute(own_postgres, "SELECT pg_reload_conf()")


@pytest.mark.timeout(240)
async def test_every_pool_survives_restarts_and_a_lack_of_connections(own_postgres: Postgres, tmp_path: Path) -> None:
    async with under_load(own_postgres, tmp_path) as (system, client, ledger):
        await asyncio.to_thread(own_postgres.stop)
        await refused(client)
        url = f"http://{LOOPBACK}:{system.ports['api']}"
        assert (await client.get(f"{url}/livez")).status_code == 200
        assert (await client.get(f"{url}/readyz")).status_code == 503
        await asyncio.to_thread(own_postgres.start)
        await more_of(ledger)

        await asyncio.to_thread(own_postgres.kill)
        await asyncio.to_thread(own_postgres.start)
        await more_of(ledger)

        # Simulates that other clients have taken all connections (53300) when ours are lost.
        await execute(own_postgres, "ALTER ROLE placewire_api CONNECTION LIMIT 0")
        await execute(
            own_postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'placewire_api'"
        )
        await refused(client)
        await execute(own_postgres, "ALTER ROLE placewire_api CONNECTION LIMIT -1")
