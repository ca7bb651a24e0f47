"""Republishing past events: which events, in which order, and with a limit on rows in the outbox."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest
import pytest_asyncio

from chassis.postgres.database import Database
from cli import republishing
from cli.commands import republish as command
from cli.failures import NO, WRONG_USE, Failure
from cli.republishing import EventRange, Republished
from contracts.topics import Lane
from tests.support.bulk_students import ENROL, enrol
from tests.support.eventually import eventually
from tests.support.system import as_role

Owner = asyncpg.Connection
STUDENT = "placewire.student"
TAKE = """
WITH taken AS (
    DELETE FROM es.outbox WHERE id IN (SELECT id FROM es.outbox WHERE extra ? 'republished' ORDER BY id LIMIT 50)
    RETURNING id, lane, topic, key, event_id
)
SELECT t.*, e.version, e.position FROM taken t JOIN es.event e USING (event_id) ORDER BY t.id
"""


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    relay_database = Database(as_role(database_url, "placewire_relay"), pool_size=2, application_name="test")
    yield relay_database
    await relay_database.close()


async def republished_rows(
    database: Database, owner: "Owner[asyncpg.Record]", event_range: EventRange
) -> list[asyncpg.Record]:
    """Republish the events, and take 50 rows at a time like a relay. Return the rows."""
    rows: list[asyncpg.Record] = []
    republishing_task = asyncio.create_task(republishing.republish(database, event_range, lambda *_: None, batch=100))
    while not republishing_task.done():
        assert await owner.fetchval("SELECT count(*) FROM es.outbox") <= republishing.MAX_WAITING
        rows += await owner.fetch(TAKE)
        await asyncio.sleep(0.01)
    assert await republishing_task == Republished(len(rows), held=0)
    return rows


async def test_all_events_of_a_topic_are_republished_once_in_order_in_the_bulk_lane(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republishing, "MAX_WAITING", 200)
    monkeypatch.setattr(republishing, "WINDOW", 37)
    await owner.execute("DELETE FROM es.outbox")
    rows = await republished_rows(database, owner, EventRange(STUDENT, 0))
    expected = await owner.fetchval(
        "SELECT count(*) FROM es.event WHERE split_part(stream_id, '-', 1) IN ('student', 'user', 'import')"
    )
    assert len({row["event_id"] for row in rows}) == len(rows) == expected > 300
    assert {(row["lane"], row["topic"]) for row in rows} == {(int(Lane.BULK), STUDENT)}
    versions: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        versions[row["key"]].append(row["version"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in versions.values())
    assert [row["position"] for row in rows] == sorted(row["position"] for row in rows)


async def test_a_range_of_events_can_be_republished_and_imported_students_left_out(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute("DELETE FROM es.outbox")
    full = await republishing.count(database, EventRange("placewire.drive", 0))
    assert full.first is not None
    assert full.last is not None
    part = EventRange("placewire.drive", full.first + 1, full.last - 1)
    counted = await republishing.count(database, part)
    rows = await republished_rows(database, owner, part)
    assert len(rows) == counted.count == full.count - 2
    everyone = await republishing.count(database, EventRange(STUDENT, 0))
    without_imports = await republishing.count(database, EventRange(STUDENT, 0, imported=False))
    assert everyone.count - without_imports.count == 2


QUARANTINE = """
UPDATE es.outbox SET quarantined_at = clock_timestamp(), error = 'MessageSizeTooLargeError'
 WHERE id = (SELECT min(id) FROM es.outbox WHERE key = $1)
"""
TAKE_OTHER_KEYS = TAKE.replace("extra ? 'republished'", "extra ? 'republished' AND key <> $1")


async def test_rows_that_kafka_refuses_are_reported_and_not_waited_for(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    """Later rows of the same key are reported too, because the relay does not send them."""
    await owner.execute("DELETE FROM es.outbox")
    key, events = await owner.fetchrow(
        "SELECT stream_id, count(*) FROM es.event WHERE stream_id ^@ 'student-' GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
    ) or ("", 0)
    assert events == 3
    for _ in range(2):  # in the second round, the row quarantined in the first round holds back all rows of this key
        republishing_task = asyncio.create_task(
            republishing.republish(database, EventRange(STUDENT, 0), lambda *_: None)
        )
        waits = "SELECT EXISTS (SELECT FROM es.outbox WHERE key <> $1)"
        await eventually(partial(owner.fetchval, waits, key))
        await owner.execute(QUARANTINE, key)
        taken = 0
        while not republishing_task.done():
            taken += len(await owner.fetch(TAKE_OTHER_KEYS, key))
            await asyncio.sleep(0.01)
        assert await republishing_task == Republished(taken + events, held=events)
    assert await owner.fetchval("SELECT count(*) FROM es.outbox") == 2 * events


async def test_the_command_fails_and_reports_events_that_were_not_sent(
    sound: str, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await owner.execute("DELETE FROM es.outbox")
    await owner.execute(
        "INSERT INTO es.outbox (lane, topic, key, event_id, quarantined_at)"
        " SELECT 1, 'placewire.drive', stream_id, event_id, now() FROM es.event"
        "  WHERE stream_id ^@ 'drive-' OR stream_id ^@ 'eligibility-'"
    )
    monkeypatch.setenv("MIGRATION_DATABASE_URL", sound)
    with pytest.raises(Failure, match=r"\d+ events were not sent.*PlacewireQuarantinedKeys") as refused:
        await asyncio.to_thread(command.republish, "drive", 0, None, True, False)
    assert refused.value.code == NO
    assert "0 events sent again" in capsys.readouterr().out


async def test_republishing_stops_when_kafka_refuses_the_topic(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republishing, "MAX_WAITING", 50)
    await owner.execute("DELETE FROM es.outbox")
    refuse = "UPDATE es.outbox SET quarantined_at = now() WHERE quarantined_at IS NULL"
    republishing_task = asyncio.create_task(
        republishing.republish(database, EventRange(STUDENT, 0), lambda *_: None, batch=20)
    )
    while not republishing_task.done():
        await owner.execute(refuse)
        await asyncio.sleep(0.01)
    with pytest.raises(Failure, match="Kafka refuses the topic"):
        await republishing_task
    assert await owner.fetchval("SELECT count(*) FROM es.outbox") < 100


async def test_the_timeouts_of_the_relay_role_do_not_end_a_long_statement(
    sound: str, database: Database, database_url: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute("DELETE FROM es.outbox")
    for limit in ("transaction_timeout", "statement_timeout"):
        await owner.execute(
            f"ALTER ROLE placewire_relay IN DATABASE {database_url.rpartition('/')[2]} SET {limit} = '200ms'"
        )
    event_range = EventRange("placewire.drive", 0)
    async with owner.transaction():
        await owner.execute("LOCK TABLE es.outbox IN EXCLUSIVE MODE")
        republishing_task = asyncio.create_task(republishing.republish(database, event_range, lambda *_: None))
        await asyncio.sleep(0.6)
        assert not republishing_task.done()
    while not republishing_task.done():
        await owner.execute("DELETE FROM es.outbox")
        await asyncio.sleep(0.01)
    assert (await republishing_task).events == (await republishing.count(database, event_range)).count


async def test_events_of_open_transactions_are_not_republished(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 5)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute(ENROL, 5)
        await enrol(owner, 5)
        assert (await republishing.count(database, EventRange(STUDENT, 0))).count == 10
    await other.close()


def test_a_topic_may_be_given_by_its_full_or_short_name() -> None:
    assert republishing.topic_named("student") == republishing.topic_named(STUDENT) == STUDENT
    with pytest.raises(Failure, match=r"placewire\.registration") as refused:
        republishing.topic_named("probe")
    assert refused.value.code == WRONG_USE
