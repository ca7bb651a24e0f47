"""A cached response is dropped when a change is noticed. Concurrent requests share one read."""

import asyncio

import pytest

from services.api.http import cached_response
from services.api.http.cached_response import CachedResponse
from services.api.http.conditional import is_known, tagged


class Database:
    """Count the reads of one value.

    A read sees the value of the moment at which it began. It returns when ``may_finish`` is set.
    """

    def __init__(self) -> None:
        self.value = b"1"
        self.reads = 0
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def read(self) -> bytes:
        self.reads += 1
        value = self.value
        await self.may_finish.wait()
        return value


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def snapshot(database: Database) -> CachedResponse:
    snapshot = CachedResponse(database.read)
    snapshot.keep(True)
    return snapshot


async def start_request(snapshot: CachedResponse) -> "asyncio.Task[bytes]":
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


async def test_requests_during_a_read_share_its_result(snapshot: CachedResponse, database: Database) -> None:
    database.may_finish.clear()
    tasks = [await start_request(snapshot) for _ in range(3)]
    database.may_finish.set()
    assert await asyncio.gather(*tasks) == [b"1"] * 3
    assert database.reads == 1


async def test_a_read_that_began_before_a_change_is_neither_kept_nor_shared(
    snapshot: CachedResponse, database: Database
) -> None:
    database.may_finish.clear()
    before = await start_request(snapshot)
    database.value = b"2"
    snapshot.drop()
    after = await start_request(snapshot)
    database.may_finish.set()
    assert await before == b"1"  # requested before the change
    assert await after == b"2"
    assert (await snapshot.get()).body == b"2"
    assert database.reads == 2


async def test_many_changes_during_a_read_cost_one_more_read(snapshot: CachedResponse, database: Database) -> None:
    database.may_finish.clear()
    tasks = [await start_request(snapshot)]
    for number in range(20):
        database.value = str(number).encode()
        snapshot.drop()
        tasks.append(await start_request(snapshot))
    database.may_finish.set()
    assert (await asyncio.gather(*tasks))[1:] == [b"19"] * 20
    assert database.reads == 2


async def test_without_notifications_each_request_reads_again(snapshot: CachedResponse, database: Database) -> None:
    await snapshot.get()
    snapshot.keep(False)
    for number in range(3):
        database.value = str(number).encode()  # the cached response is not notified
        assert (await snapshot.get()).body == database.value


async def test_without_notifications_a_request_does_not_share_an_earlier_read(
    snapshot: CachedResponse, database: Database
) -> None:
    snapshot.keep(False)
    database.may_finish.clear()
    first = await start_request(snapshot)
    database.value = b"2"
    later = [await start_request(snapshot) for _ in range(5)]
    database.may_finish.set()
    assert await first == b"1"
    assert await asyncio.gather(*later) == [b"2"] * 5
    assert database.reads == 2


async def test_a_read_that_began_without_notifications_is_not_kept(
    snapshot: CachedResponse, database: Database
) -> None:
    snapshot.keep(False)
    database.may_finish.clear()
    earlier_request = await start_request(snapshot)
    database.value = b"2"
    snapshot.keep(True)
    database.may_finish.set()
    await earlier_request
    assert (await snapshot.get()).body == b"2"


async def test_a_change_without_a_notification_is_seen_after_the_reload_time(
    snapshot: CachedResponse, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_response, "RELOAD_S", 0.05)
    await snapshot.get()
    database.value = b"2"
    await asyncio.sleep(0.06)
    assert (await snapshot.get()).body == b"2"


async def test_the_response_is_read_again_in_the_next_hour(
    snapshot: CachedResponse, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = 0
    monkeypatch.setattr(cached_response, "_this_hour", lambda: hour)
    await snapshot.get()
    database.value = b"2"
    assert (await snapshot.get()).body == b"1"
    hour = 1
    assert (await snapshot.get()).body == b"2"


async def test_a_failed_read_fails_all_waiting_requests_and_the_next_request_reads_again(database: Database) -> None:
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


async def test_a_cancelled_request_does_not_cancel_the_shared_read(
    snapshot: CachedResponse, database: Database
) -> None:
    database.may_finish.clear()
    cancelled, waiting = await start_request(snapshot), await start_request(snapshot)
    cancelled.cancel()
    database.may_finish.set()
    assert await waiting == b"1"


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
def test_if_none_match_is_compared_with_the_etag(lines: list[str], known: bool) -> None:
    assert is_known('"a"', lines) is known


def test_the_etag_depends_on_the_body() -> None:
    assert tagged(b"1").etag == tagged(b"1").etag != tagged(b"2").etag
    assert tagged(b"1").etag.startswith('"')
