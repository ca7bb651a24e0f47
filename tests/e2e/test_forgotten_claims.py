"""Postgres crashes right after a claim and loses it, so that two workers believe that they hold the same job."""

import asyncio
import hashlib
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from bench.placewire_jobs import QUEUE
from chassis.errors import Fenced, Unavailable
from chassis.jobs import queue
from chassis.jobs.queue import Claim, ClaimPolicy
from chassis.jobs.worker import Worker
from chassis.postgres.database import Database
from contracts import topics
from contracts.checks import CheckRequested
from contracts.jobs import Channel, Service, State
from devstack.postgres import Postgres
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import posted
from tests.support.eventually import eventually
from tests.support.exporting import exporting, register_many
from tests.support.job_worker import wake
from tests.support.replicas import replica
from tests.support.sizes import sized
from tests.support.system import as_role

ROUNDS = sized(small=2, full=50)
ROWS = sized(small=3_000, full=20_000)
LEASE = timedelta(minutes=1)
POLICY = ClaimPolicy(Service.MAINTENANCE, "test", LEASE)
WAL_WRITER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
STATE = "SELECT state FROM es.job WHERE id = $1::uuid"
RECORDED = "SELECT export_id::text, path, sha256 FROM exports WHERE state = 'completed'"


async def suspend_wal_writer(postgres: Postgres) -> None:
    """Suspend the WAL writer. Until the server is killed, only durable commits reach the disk."""
    owner = await asyncpg.connect(postgres.dsn)
    try:
        os.kill(await owner.fetchval(WAL_WRITER), signal.SIGSTOP)
    finally:
        await owner.close()


async def crash(postgres: Postgres) -> None:
    await asyncio.to_thread(postgres.kill)
    await asyncio.to_thread(postgres.start)


async def claim(database: Database) -> list[Claim]:
    async with database.connection() as connection:
        return await queue.claim(connection, POLICY, 1)


@asynccontextmanager
async def queued(postgres: Postgres) -> AsyncIterator[Database]:
    """Queue a job of the maintenance service. Yield a database pool with that service's role."""
    owner = await asyncpg.connect(postgres.dsn)
    try:
        topic = topics.MAINTENANCE
        await owner.execute(QUEUE, 1, topic.name, int(topic.lane), CheckRequested.TYPE)
    finally:
        await owner.close()
    database = Database(as_role(postgres.dsn, "placewire_maintenance"), pool_size=2, application_name="test")
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.timeout(180)
async def test_the_holder_of_a_lost_claim_can_neither_renew_nor_end_the_job(own_postgres: Postgres) -> None:
    async with queued(own_postgres) as database:
        await suspend_wal_writer(own_postgres)
        [first] = await claim(database)
        await crash(own_postgres)
        [second] = await eventually(lambda: claim_again(database))
        assert (first.attempts, second.attempts) == (1, 1), "the first claim was not lost"
        assert first.fence != second.fence
        async with database.connection() as connection:
            assert not await queue.renew(connection, first, LEASE)
            assert not await queue.update_progress(connection, first, {"rows": 1})
            assert not await queue.confirm(connection, first)
            assert await queue.begin_attempt(connection, first) is None
            await queue.return_attempt(connection, first)
            await queue.release(connection, first)
            with pytest.raises(Fenced):
                await queue.finish(connection, first, Channel.POLL, State.SUCCEEDED, result={})
            assert await queue.end_of(connection, first) is None
            assert await queue.renew(connection, second, LEASE)
            assert await connection.fetchval("SELECT attempts FROM es.job") == 1


async def claim_again(database: Database) -> list[Claim]:
    try:
        return await claim(database)
    except Unavailable:
        return []


@pytest.mark.timeout(180)
async def test_a_confirmed_claim_is_not_lost(own_postgres: Postgres) -> None:
    async with queued(own_postgres) as database:
        await suspend_wal_writer(own_postgres)
        [claimed] = await claim(database)
        async with database.connection() as connection:
            assert await queue.confirm(connection, claimed)
        await crash(own_postgres)

        async def renewed() -> bool:
            try:
                async with database.connection() as connection:
                    return await queue.renew(connection, claimed, LEASE)
            except Unavailable:
                return False

        await eventually(renewed)
        assert await claim(database) == []


@asynccontextmanager
async def changing(postgres: Postgres, drive_id: int, registered: int) -> AsyncIterator[None]:
    """Register one student after another until the block ends. Reconnect after each crash of the server."""

    async def change() -> None:
        while True:
            try:
                owner = await asyncpg.connect(postgres.dsn)
                try:
                    while True:
                        count = await owner.fetchval("SELECT count(*) FROM registrations")
                        await register_many(owner, drive_id, 1, skip=count)
                        await asyncio.sleep(0.01)
                finally:
                    owner.terminate()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(0.05)  # the server was killed

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.timeout(1800)
async def test_every_completed_export_agrees_with_its_checksum(own_postgres: Postgres, tmp_path: Path) -> None:
    owner = await asyncpg.connect(own_postgres.dsn)
    await enrol(owner, ROWS * 2)
    exports: list[str] = []
    async with replica(own_postgres.dsn, tmp_path) as api:
        drive_id = await posted(api)
        await register_many(owner, drive_id, ROWS)
        await owner.close()
        async with (
            changing(own_postgres, drive_id, ROWS),
            exporting(own_postgres.dsn, tmp_path, owner="first", lease_s=3) as first,
            exporting(own_postgres.dsn, tmp_path, owner="second", lease_s=3) as second,
        ):
            for number in range(ROUNDS):
                await suspend_wal_writer(own_postgres)
                exports.append(await requested_export(api, drive_id, f"export-{number}"))
                replicas = [first, second] if number % 2 else [second, first]
                await crash_after_claim(own_postgres, replicas, exports[-1])
    owner = await asyncpg.connect(own_postgres.dsn)
    recorded = {row["export_id"]: row for row in await owner.fetch(RECORDED)}
    await owner.close()
    assert set(recorded) == set(exports)
    for row in recorded.values():
        content = (tmp_path / "uploads" / row["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
    files = [path for path in (tmp_path / "uploads" / "temp").rglob("*") if path.is_file()]
    assert len(files) == ROUNDS


async def requested_export(api: Api, drive_id: int, key: str) -> str:
    """Request an export and return its id. Retries, because the API lost its connections in the last crash."""
    body = {"kind": "registrations", "drive_id": drive_id}

    async def accepted() -> str | None:
        answer = await api.post("/api/exports", json=body, headers={"Idempotency-Key": key})
        return str(answer.json()["export_id"]) if answer.is_success else None

    export_id = await eventually(accepted)
    assert export_id is not None
    return export_id


async def crash_after_claim(postgres: Postgres, replicas: list[Worker], export_id: str) -> None:
    """Wake the first replica, kill the server 10 to 150 ms after the claim, then wake the second replica."""
    owner = await asyncpg.connect(postgres.dsn)
    try:
        wake(replicas[0], [UUID(export_id)], Channel.HTTP)
        while await owner.fetchval(STATE, export_id) == State.QUEUED:
            await asyncio.sleep(0.002)
    finally:
        await owner.close()
    await asyncio.sleep(random.uniform(0.01, 0.15))
    await crash(postgres)
    wake(replicas[1], [UUID(export_id)], Channel.HTTP)

    async def ended() -> bool:
        try:
            owner = await asyncpg.connect(postgres.dsn)
        except (asyncpg.PostgresError, OSError):
            return False
        try:
            succeeded = await owner.fetchval(STATE, export_id) == State.SUCCEEDED
        finally:
            await owner.close()
        return succeeded and not any(worker.busy for worker in replicas)

    await eventually(ended, within_s=60)
