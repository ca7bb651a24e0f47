"""A snapshot never outlives a change that was noticed, and many who ask at once cost one read."""

import asyncio

import pytest

from services.api.http import cached_response
from services.api.http.cached_response import CachedResponse
from services.api.http.conditional import is_known, tagged


class Database:
    """What is read, and how often; a read takes what stands when it begins, and ends when it is let."""

    def __init__(self) -> None:
        self.value = b"1"
        self.reads = 0
        self.let = asyncio.Event()
        self.let.set()

    async def read(self) -> bytes:
        self.reads += 1
        value = self.value
        await self.let.wait()
        return value


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def snapshot(database: Database) -> CachedResponse:
    snapshot = CachedResponse(database.read)
    snapshot.keep(True)
    return snapshot


async def asked(snapshot: CachedResponse) -> "asyncio.Task[bytes]":
    async def body() -> bytes:
        return (await snapshot.get()).body

    task = asyncio.create_task(body())
    await asyncio.sleep(0.01)
    return task


async def test_many_at_once_share_one_read(snapshot: CachedResponse, database: Database) -> None:
    answers = await asyncio.gather(*(snapshot.get() for _ in range(1000)))
    assert {answer.body for answer in answers} == {b"1"}
    await snapshot.get()
    assert database.reads == 1


async def test_those_who_come_during_the_read_share_it_too(snapshot: CachedResponse, database: Database) -> None:
    database.let.clear()
    tasks = [await asked(snapshot) for _ in range(3)]
    database.let.set()
    assert await asyncio.gather(*tasks) == [b"1"] * 3
    assert database.reads == 1


async def test_a_read_that_a_change_overtook_is_not_kept_nor_shared(
    snapshot: CachedResponse, database: Database
) -> None:
    database.let.clear()
    before = await asked(snapshot)
    database.value = b"2"
    snapshot.drop()
    after = await asked(snapshot)
    database.let.set()
    assert await before == b"1"  # asked before the change
    assert await after == b"2"
    assert (await snapshot.get()).body == b"2"
    assert database.reads == 2


async def test_a_burst_of_changes_costs_one_read_more(snapshot: CachedResponse, database: Database) -> None:
    database.let.clear()
    tasks = [await asked(snapshot)]
    for number in range(20):
        database.value = str(number).encode()
        snapshot.drop()
        tasks.append(await asked(snapshot))
    database.let.set()
    assert (await asyncio.gather(*tasks))[1:] == [b"19"] * 20
    assert database.reads == 2


async def test_without_notices_each_answer_is_read_after_it_was_asked_for(
    snapshot: CachedResponse, database: Database
) -> None:
    await snapshot.get()
    snapshot.keep(False)
    for number in range(3):
        database.value = str(number).encode()  # the snapshot gets no notice
        assert (await snapshot.get()).body == database.value


async def test_without_notices_a_read_that_has_begun_is_too_old(snapshot: CachedResponse, database: Database) -> None:
    snapshot.keep(False)
    database.let.clear()
    first = await asked(snapshot)
    database.value = b"2"
    later = [await asked(snapshot) for _ in range(5)]
    database.let.set()
    assert await first == b"1"
    assert await asyncio.gather(*later) == [b"2"] * 5
    assert database.reads == 2


async def test_what_was_being_read_when_notices_came_back_is_not_kept(
    snapshot: CachedResponse, database: Database
) -> None:
    snapshot.keep(False)
    database.let.clear()
    begun = await asked(snapshot)
    database.value = b"2"
    snapshot.keep(True)
    database.let.set()
    await begun
    assert (await snapshot.get()).body == b"2"


async def test_a_change_without_a_notice_is_seen_after_a_while(
    snapshot: CachedResponse, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_response, "RELOAD_S", 0.05)
    await snapshot.get()
    database.value = b"2"
    await asyncio.sleep(0.06)
    assert (await snapshot.get()).body == b"2"


async def test_links_and_so_the_answer_change_with_the_hour(
    snapshot: CachedResponse, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = 0
    monkeypatch.setattr(cached_response, "_this_hour", lambda: hour)
    await snapshot.get()
    database.value = b"2"
    assert (await snapshot.get()).body == b"1"
    hour = 1
    assert (await snapshot.get()).body == b"2"


async def test_a_failed_read_is_raised_in_all_waiting_requests_and_repeated_for_the_next(database: Database) -> None:
    async def read() -> bytes:
        if not (body := await database.read()).isdigit():
            raise ValueError(body)
        return body

    snapshot = CachedResponse(read)
    snapshot.keep(True)
    database.value = b"no"
    outcomes = await asyncio.gather(*(snapshot.get() for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 5
    database.value = b"2"
    assert (await snapshot.get()).body == b"2"


async def test_who_goes_away_does_not_take_the_read_from_the_others(
    snapshot: CachedResponse, database: Database
) -> None:
    database.let.clear()
    leaving, staying = await asked(snapshot), await asked(snapshot)
    leaving.cancel()
    database.let.set()
    assert await staying == b"1"


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        ([], False),
        (['"a"'], True),
        (['W/"a"'], True),
        (["*"], True),
        ([" * "], True),
        (['"b", "a"'], True),
        (['"b"', 'W/"c","a"'], True),
        (['"b,\\"a"'], False),
        (['"x, y", "a"'], True),
        (["a"], False),
        (['"b"'], False),
    ],
)
def test_which_callers_have_the_answer(lines: list[str], known: bool) -> None:
    assert is_known('"a"', lines) is known


def test_the_tag_stands_for_the_bytes() -> None:
    assert tagged(b"1").etag == tagged(b"1").etag != tagged(b"2").etag
    assert tagged(b"1").etag.startswith('"')
