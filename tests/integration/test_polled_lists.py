"""Lists that all users poll: 304 answers, never an outdated answer, and few reads of the database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from services.api.drives import sql as drives
from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.eventually import eventually
from tests.support.replicas import replica

Owner = asyncpg.Connection
KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE application_name = 'placewire-api-listen' AND datname = current_database()
"""


@pytest_asyncio.fixture
async def other(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """Yield another replica of the API on the same database."""
    async with replica(database_url, tmp_path) as api:
        yield api


async def titles(api: Api, role: str = "HEAD", user_id: int | None = None) -> list[str]:
    answer = await api.get("/api/drives", role, user_id)
    assert answer.status_code == 200, answer.text
    return [drive["job_title"] for drive in answer.json()]


async def real_head(api: Api) -> int:
    """Create a head and return their id. Without notifications, the API reads its callers from the database."""
    head = {"name": "H", "email": "h@college.edu", "role": "HEAD", "password": "correct horse"}
    user_id: int = (await api.post("/api/users", json=head)).json()["user_id"]
    return user_id


@pytest.mark.parametrize("path", ["/api/drives", "/api/job-domains", "/api/drives/1"])
async def test_a_caller_with_the_current_answer_gets_304(api: Api, path: str) -> None:
    await api.post("/api/drives", json=DRIVE)
    first = await api.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    etag = first.headers["etag"]
    assert etag.startswith('"')
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        not_modified = await api.get(path, headers={"If-None-Match": known})
        assert (not_modified.status_code, not_modified.content) == (304, b"")
        assert not_modified.headers["etag"] == etag
        assert not_modified.headers["cache-control"] == "private, no-cache"
    assert (await api.get(path, headers={"If-None-Match": '"other"'})).content == first.content


async def test_a_cached_answer_has_the_correlation_id_of_each_request(api: Api) -> None:
    """Each answer has the correlation id of its request, although its body is cached."""
    for headers in ({}, {"If-None-Match": "*"}):
        answers = [await api.get("/api/drives", headers=headers) for _ in range(3)]
        ids = [answer.headers.get_list("x-correlation-id") for answer in answers]
        assert [len(values) for values in ids] == [1, 1, 1]
        assert len({values[0] for values in ids}) == 3
        assert len({len(answer.headers.multi_items()) for answer in answers}) == 1


async def test_a_change_changes_the_etag_only_for_roles_that_see_it(api: Api) -> None:
    tags = {role: (await api.get("/api/drives", role)).headers["etag"] for role in ("HEAD", "STUDENT")}
    await api.post("/api/drives", json=DRIVE)
    for role, status in (("HEAD", 200), ("STUDENT", 304)):
        answer = await api.get("/api/drives", role, headers={"If-None-Match": tags[role]})
        assert answer.status_code == status
    await api.post("/api/drives/1/publish")
    assert (await api.get("/api/drives", "STUDENT", headers={"If-None-Match": tags["STUDENT"]})).status_code == 200


async def test_roles_do_not_share_a_cached_answer(api: Api) -> None:
    await api.post("/api/drives", json=DRIVE)
    for _ in range(2):
        assert [len(await titles(api, role)) for role in ("HEAD", "STUDENT", "COORDINATOR", "STAFF")] == [1, 0, 1, 0]


async def test_a_caller_sees_their_own_change_at_once(api: Api) -> None:
    for number in range(10):
        await api.post("/api/drives", json={**DRIVE, "job_title": f"J{number}"})
        assert (await titles(api))[0] == f"J{number}"
    await api.patch("/api/drives/10", json={"job_title": "Other"})
    assert (await titles(api))[0] == "Other"
    await api.delete("/api/drives/10")
    assert (await titles(api))[0] == "J8"
    for action, status in (("publish", "posted"), ("stop-registrations", "attending")):
        await api.post(f"/api/drives/9/{action}", "COORDINATOR")
        assert (await api.get("/api/drives", "STUDENT")).json()[0]["status"] == status


async def test_a_renamed_domain_is_seen_at_once_in_both_lists(api: Api) -> None:
    domain = (await api.post("/api/job-domains", json={"domain_name": "Cloud"})).json()["domain_id"]
    await api.post("/api/drives", json={**DRIVE, "domain_id": domain})
    assert (await api.get("/api/drives")).json()[0]["domain_name"] == "Cloud"
    renamed = await api.patch(f"/api/job-domains/{domain}", json={"domain_name": "Clouds"})
    assert renamed.json() == {"domain_id": domain, "domain_name": "Clouds"}
    assert (await api.get("/api/job-domains")).json() == [renamed.json()]
    assert (await api.get("/api/drives")).json()[0]["domain_name"] == "Clouds"
    await api.post("/api/job-domains", json={"domain_name": "Data"})
    assert (await api.patch(f"/api/job-domains/{domain}", json={"domain_name": "Data"})).status_code == 409
    assert (await api.patch("/api/job-domains/4711", json={"domain_name": "x"})).status_code == 404


async def test_a_change_by_another_replica_is_seen(api: Api, other: Api) -> None:
    assert await titles(other) == await titles(api) == []
    tag = (await other.get("/api/drives")).headers["etag"]
    await api.post("/api/drives", json=DRIVE)

    async def seen() -> bool:
        return await titles(other) == ["SDE"]

    # This is well before the reload every 5 s.
    await eventually(seen, within_s=2)
    assert (await other.get("/api/drives")).headers["etag"] == (await api.get("/api/drives")).headers["etag"] != tag


async def test_no_answer_is_outdated_while_notifications_are_lost(
    api: Api, other: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    """The connections that listen for changes are ended repeatedly. Each read still sees the change before it."""
    head = await real_head(api)
    for number in range(8):
        await titles(api, "HEAD", head)  # fills the cache
        killed = await owner.fetch(KILL)
        await asyncio.sleep(0.05)
        title = f"J{number}"
        await other.post("/api/drives", "HEAD", head, json={**DRIVE, "job_title": title})
        assert (await titles(api, "HEAD", head))[0] == title, f"round {number}, {len(killed)} killed"
        assert (await titles(other, "HEAD", head))[0] == title
        await asyncio.sleep(0.03 * number)  # in some rounds, the connections are back by then


async def test_lists_are_cached_again_after_notifications_return(
    api: Api, other: Api, owner: "Owner[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    head = await real_head(api)
    await owner.execute(KILL)
    reads = _count_reads(monkeypatch)

    async def is_cached() -> bool:
        await titles(api, "HEAD", head)
        reads_before = len(reads)
        await titles(api, "HEAD", head)
        return len(reads) == reads_before

    await eventually(is_cached, within_s=5)
    await other.post("/api/drives", "HEAD", head, json=DRIVE)

    async def seen() -> bool:
        return await titles(api, "HEAD", head) == ["SDE"]

    await eventually(seen, within_s=2)


async def test_hundreds_of_requests_without_a_cached_answer_cost_one_read(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post("/api/drives", json=DRIVE)
    api.app.state.context.lists.drop()
    reads = _count_reads(monkeypatch)
    answers = await asyncio.gather(*(api.get("/api/drives", "STUDENT", 1000 + number) for number in range(300)))
    assert {answer.status_code for answer in answers} == {200}
    assert reads == [False]


@pytest.mark.full_only
async def test_concurrent_readers_miss_no_change(api: Api, other: Api) -> None:
    """Users poll both replicas while drives are added. The number of drives that a user sees never decreases."""
    done = asyncio.Event()

    async def poll(polled: Api, user_id: int) -> None:
        most = 0
        while not done.is_set():
            shown = len(await titles(polled, "HEAD", user_id))
            assert shown >= most
            most = shown
            await asyncio.sleep(0.005)  # stays below the rate limit

    polls = [asyncio.create_task(poll(polled, number)) for polled in (api, other) for number in range(1, 6)]
    for number in range(20):
        await api.post("/api/drives", json=DRIVE)
        assert len(await titles(api)) == number + 1
    done.set()
    await asyncio.gather(*polls)


def _count_reads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that gets the ``with_pending`` of each later read of the drives."""
    reads: list[bool] = []
    really = drives.list_all

    async def count_and_read(connection: "Owner[asyncpg.Record]", *, with_pending: bool) -> list[asyncpg.Record]:
        reads.append(with_pending)
        return await really(connection, with_pending=with_pending)

    monkeypatch.setattr(drives, "list_all", count_and_read)
    return reads
