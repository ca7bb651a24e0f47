"""History into the outbox again: which events, in which order, and never many at once."""

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
TAKEN = """
WITH taken AS (
    DELETE FROM es.outbox WHERE id IN (SELECT id FROM es.outbox WHERE extra ? 'republished' ORDER BY id LIMIT 50)
    RETURNING id, lane, topic, key, event_id
)
SELECT t.*, e.version, e.position FROM taken t JOIN es.event e USING (event_id) ORDER BY t.id
"""


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(as_role(database_url, "placewire_relay"), pool_size=2, application_name="test")
    yield found
    await found.close()


async def sent(database: Database, owner: "Owner[asyncpg.Record]", event_range: EventRange) -> list[asyncpg.Record]:
    """What a relay finds that takes 50 rows at a time."""
    rows: list[asyncpg.Record] = []
    putting = asyncio.create_task(republishing.republish(database, event_range, lambda *_: None, batch=100))
    while not putting.done():
        assert await owner.fetchval("SELECT count(*) FROM es.outbox") <= republishing.MAX_WAITING
        rows += await owner.fetch(TAKEN)
        await asyncio.sleep(0.01)
    assert await putting == Republished(len(rows), held=0)
    return rows


async def test_a_topics_history_comes_once_in_order_behind_everything_else(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republishing, "MAX_WAITING", 200)
    monkeypatch.setattr(republishing, "WINDOW", 37)
    await owner.execute("DELETE FROM es.outbox")
    rows = await sent(database, owner, EventRange(STUDENT, 0))
    expected = await owner.fetchval(
        "SELECT count(*) FROM es.event WHERE split_part(stream_id, '-', 1) IN ('student', 'user', 'import')"
    )
    assert len({row["event_id"] for row in rows}) == len(rows) == expected > 300
    assert {(row["lane"], row["topic"]) for row in rows} == {(int(Lane.BULK), STUDENT)}
    versions: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        versions[row["key"]].append(row["version"])
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert [row["position"] for row in rows] == sorted(row["position"] for row in rows)


async def test_a_part_of_it_and_without_the_students_of_imports(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute("DELETE FROM es.outbox")
    whole = await republishing.count(database, EventRange("placewire.drive", 0))
    assert whole.first is not None
    assert whole.last is not None
    part = EventRange("placewire.drive", whole.first + 1, whole.last - 1)
    found = await republishing.count(database, part)
    rows = await sent(database, owner, part)
    assert len(rows) == found.count == whole.count - 2
    everyone = await republishing.count(database, EventRange(STUDENT, 0))
    without = await republishing.count(database, EventRange(STUDENT, 0, imported=False))
    assert everyone.count - without.count == 2


QUARANTINE = """
UPDATE es.outbox SET quarantined_at = clock_timestamp(), error = 'MessageSizeTooLargeError'
 WHERE id = (SELECT min(id) FROM es.outbox WHERE key = $1)
"""
TAKEN_BUT_HELD = TAKEN.replace("extra ? 'republished'", "extra ? 'republished' AND key <> $1")


async def test_what_kafka_refuses_is_reported_and_not_waited_for(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    """Also what follows it under the same key, which the relay does not take."""
    await owner.execute("DELETE FROM es.outbox")
    key, events = await owner.fetchrow(
        "SELECT stream_id, count(*) FROM es.event WHERE stream_id ^@ 'student-' GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
    ) or ("", 0)
    assert events == 3
    for _ in range(2):  # the second time they are held by the row that the first has left
        putting = asyncio.create_task(republishing.republish(database, EventRange(STUDENT, 0), lambda *_: None))
        waits = "SELECT EXISTS (SELECT FROM es.outbox WHERE key <> $1)"
        await eventually(partial(owner.fetchval, waits, key))
        await owner.execute(QUARANTINE, key)
        taken = 0
        while not putting.done():
            taken += len(await owner.fetch(TAKEN_BUT_HELD, key))
            await asyncio.sleep(0.01)
        assert await putting == Republished(taken + events, held=events)
    assert await owner.fetchval("SELECT count(*) FROM es.outbox") == 2 * events


async def test_the_command_says_so_and_fails(
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


async def test_a_topic_that_kafka_refuses_does_not_fill_the_outbox(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republishing, "MAX_WAITING", 50)
    await owner.execute("DELETE FROM es.outbox")
    refuse = "UPDATE es.outbox SET quarantined_at = now() WHERE quarantined_at IS NULL"
    putting = asyncio.create_task(republishing.republish(database, EventRange(STUDENT, 0), lambda *_: None, batch=20))
    while not putting.done():
        await owner.execute(refuse)
        await asyncio.sleep(0.01)
    with pytest.raises(Failure, match="Kafka refuses the topic"):
        await putting
    assert await owner.fetchval("SELECT count(*) FROM es.outbox") < 100


async def test_a_long_statement_is_not_ended_by_the_limits_of_the_relays_role(
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
        putting = asyncio.create_task(republishing.republish(database, event_range, lambda *_: None))
        await asyncio.sleep(0.6)
        assert not putting.done()
    while not putting.done():
        await owner.execute("DELETE FROM es.outbox")
        await asyncio.sleep(0.01)
    assert (await putting).events == (await republishing.count(database, event_range)).count


async def test_what_is_not_committed_yet_is_left_to_its_own_outbox_row(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 5)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute(ENROL, 5)
        await enrol(owner, 5)
        assert (await republishing.count(database, EventRange(STUDENT, 0))).count == 10
    await other.close()


def test_a_topic_is_named_in_full_or_in_short() -> None:
    assert republishing.topic_named("student") == republishing.topic_named(STUDENT) == STUDENT
    with pytest.raises(Failure, match=r"placewire\.registration") as refused:
        republishing.topic_named("probe")
    assert refused.value.code == WRONG_USE
