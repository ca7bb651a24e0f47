"""History into the outbox again: which events, in which order, and never many at once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from chassis.database import Database
from cli import republishing
from cli.failures import WRONG_USE, Failure
from cli.republishing import Stretch
from contracts.topics import Lane
from tests.enrolment import ENROL, enrol
from tests.system import as_role

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


async def sent(database: Database, owner: "Owner[asyncpg.Record]", stretch: Stretch) -> list[asyncpg.Record]:
    """What a relay finds that takes 50 rows at a time."""
    rows: list[asyncpg.Record] = []
    putting = asyncio.create_task(republishing.republish(database, stretch, lambda *_: None, batch=100))
    while not putting.done():
        assert await owner.fetchval("SELECT count(*) FROM es.outbox") <= republishing.MOST_WAITING
        rows += await owner.fetch(TAKEN)
        await asyncio.sleep(0.01)
    assert await putting == len(rows)
    return rows


async def test_a_topics_history_comes_once_in_order_behind_everything_else(
    sound: str, database: Database, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republishing, "MOST_WAITING", 200)
    await owner.execute("DELETE FROM es.outbox")
    rows = await sent(database, owner, Stretch(STUDENT, 0))
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
    whole = await republishing.count(database, Stretch("placewire.drive", 0))
    assert whole.first is not None
    assert whole.last is not None
    part = Stretch("placewire.drive", whole.first + 1, whole.last - 1)
    found = await republishing.count(database, part)
    rows = await sent(database, owner, part)
    assert len(rows) == found.count == whole.count - 2
    everyone = await republishing.count(database, Stretch(STUDENT, 0))
    without = await republishing.count(database, Stretch(STUDENT, 0, imported=False))
    assert everyone.count - without.count == 2


async def test_what_is_not_committed_yet_is_left_to_its_own_outbox_row(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 5)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute(ENROL, 5)
        await enrol(owner, 5)
        assert (await republishing.count(database, Stretch(STUDENT, 0))).count == 10
    await other.close()


def test_a_topic_is_named_in_full_or_in_short() -> None:
    assert republishing.topic_named("student") == republishing.topic_named(STUDENT) == STUDENT
    with pytest.raises(Failure, match=r"placewire\.registration") as refused:
        republishing.topic_named("canary")
    assert refused.value.code == WRONG_USE
