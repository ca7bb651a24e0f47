"""The log: optimistic concurrency, repeated appends, reading without gaps, and no changes of past events."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from chassis.errors import Conflict, Invalid
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, Cursor
from chassis.postgres.database import Database
from contracts.drives import DriveDeleted
from contracts.users import PasswordChanged
from tests.support.sizes import sized
from tests.support.system import as_role

CAUSE = Cause(source="test", correlation_id=UUID(int=7))
SECONDS = sized(small=2, full=15)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    api_database = Database(as_role(database_url, "placewire_api"), pool_size=24, application_name="test")
    yield api_database
    await api_database.close()


async def append(database: Database, stream: str, version: int | None, event_id: UUID | None = None) -> int:
    async with database.transaction() as connection:
        appended = await event_store.append(
            connection, stream, [PasswordChanged(user_id=1)], CAUSE, expected_version=version,
            new_id=lambda _: event_id or uuid4(),
        )  # fmt: skip
    return appended.version


async def test_one_of_twenty_appends_with_the_same_expected_version_succeeds(database: Database) -> None:
    await append(database, "user-1", 0)
    outcomes = await asyncio.gather(*(append(database, "user-1", 1) for _ in range(20)), return_exceptions=True)
    assert outcomes.count(2) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19


async def test_twenty_repeats_of_one_append_record_one_event(
    database: Database, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    event_id = uuid4()
    outcomes = await asyncio.gather(
        *(append(database, "user-2", None, event_id) for _ in range(20)), return_exceptions=True
    )
    # A concurrent repeat violates the uniqueness of the event id instead, and is rolled back.
    assert all(outcome == 1 or isinstance(outcome, asyncpg.UniqueViolationError) for outcome in outcomes)
    assert await append(database, "user-2", None, event_id) == 1
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE stream_id = 'user-2'") == 1
    assert await owner.fetchval("SELECT count(*) FROM es.outbox WHERE key = 'user-2'") == 1


async def test_a_refused_append_writes_no_row(database: Database, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    with pytest.raises(Conflict):
        await append(database, "user-3", 5)
    assert await owner.fetchval("SELECT count(*) FROM es.stream") == 0
    assert await owner.fetchval("SELECT count(*) FROM es.outbox") == 0


async def test_events_that_are_too_large_are_refused(database: Database) -> None:
    async with database.transaction() as connection:
        with pytest.raises(Invalid, match="too large for one Kafka message"):
            await event_store.append(
                connection, "drive-1", [DriveDeleted(drive_id=1)] * 3000, CAUSE, expected_version=0
            )


@pytest.mark.parametrize("statement", ["UPDATE es.event SET type = 'x'", "DELETE FROM es.event", "TRUNCATE es.event"])
async def test_even_the_owner_cannot_change_past_events(
    database: Database, owner: "asyncpg.Connection[asyncpg.Record]", statement: str
) -> None:
    await append(database, "user-4", 0)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.execute(statement)


async def test_readers_wait_for_an_open_transaction_and_skip_no_event(database: Database) -> None:
    """Readers stop below the oldest running transaction. Reading by position alone would skip its event."""
    async with database.transaction() as slow:
        await event_store.append(slow, "user-5", [PasswordChanged(user_id=5)], CAUSE, expected_version=0)
        await append(database, "user-6", 0)
        async with database.connection() as connection:
            assert await event_store.read_log(connection, Cursor(), limit=10) == []
    async with database.connection() as connection:
        streams = [recorded.stream for _, recorded in await event_store.read_log(connection, Cursor(), limit=10)]
    assert streams == ["user-5", "user-6"]


async def test_an_event_comes_after_the_events_that_its_transaction_read(database: Database) -> None:
    """This holds even if its transaction is older: for example, it had claimed an Idempotency-Key before."""
    async with database.transaction() as older:
        await older.execute("SELECT pg_current_xact_id()")
        await append(database, "user-8", 0)
        assert len(await event_store.read(older, "user-8")) == 1
        await event_store.append(older, "user-9", [PasswordChanged(user_id=9)], CAUSE, expected_version=0)
    async with database.connection() as connection:
        streams = [recorded.stream for _, recorded in await event_store.read_log(connection, Cursor(), limit=10)]
    assert streams == ["user-8", "user-9"]


async def test_a_reader_misses_no_event_and_keeps_the_order_of_each_stream(
    database: Database, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    seen: list[tuple[str, int]] = []
    keep_writing, writers_ended = True, False
    rng = random.Random(7)

    async def write() -> None:
        while keep_writing:
            with suppress(Conflict):
                async with database.transaction() as connection:
                    if rng.random() < 0.5:
                        await connection.execute("SELECT pg_current_xact_id()")
                        await asyncio.sleep(rng.random() * 0.02)
                    stream = f"user-{rng.randrange(30)}"
                    await event_store.append(
                        connection, stream, [PasswordChanged(user_id=1)], CAUSE, expected_version=None
                    )

    async def read() -> None:
        cursor = Cursor()
        while True:
            async with database.connection() as connection:
                page = await event_store.read_log(connection, cursor, limit=200)
            seen.extend((recorded.stream, recorded.version) for _, recorded in page)
            if page:
                cursor = page[-1][0]
            elif writers_ended:
                return
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    writers = [asyncio.create_task(write()) for _ in range(16)]
    await asyncio.sleep(SECONDS)
    keep_writing = False
    await asyncio.gather(*writers)
    writers_ended = True
    await reader
    assert len(seen) == await owner.fetchval("SELECT count(*) FROM es.event") > 100
    by_stream: dict[str, list[int]] = defaultdict(list)
    for stream, version in seen:
        by_stream[stream].append(version)
    assert all(versions == list(range(1, len(versions) + 1)) for versions in by_stream.values())


async def test_a_page_of_the_log_is_read_in_index_order(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    # For a small table, the planner would prefer these scans.
    await owner.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    page = event_store.READ_LOG.replace("$1", "0").replace("$2", "0").replace("$3", "500")
    plan = "\n".join(row[0] for row in await owner.fetch(f"EXPLAIN {page}"))
    assert "event_tx_position" in plan
    assert "Sort" not in plan, plan
