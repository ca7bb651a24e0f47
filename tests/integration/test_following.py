"""Following a job with server-sent events: by token, by signed link, the limit of streams, and the end of a stream.

Some tests use a real API process, because they close connections or stop the server.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from chassis.tokens import Principal
from contracts.users import Role
from devstack.ports import LOOPBACK
from services.api.http.links import Links
from services.api.jobs import following
from services.api.jobs.following import HEARTBEAT_S, LINK_LIFE_S, MAX_STREAMS_PER_USER
from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.eventually import eventually
from tests.support.job_worker import done, working
from tests.support.system import SECRET, System, bearer, running

Owner = asyncpg.Connection


NOBODY = {"Authorization": ""}
NO_KAFKA = "127.0.0.1:9"


@pytest.fixture
def system(database_url: str, tmp_path: Path) -> Iterator[System]:
    """Start an API process, and no other process."""
    with running(database_url, NO_KAFKA, tmp_path) as started:
        started.start("api")
        yield started


@asynccontextmanager
async def client_of(system: System, *, signed_in: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    headers = bearer() if signed_in else {}
    url = f"http://{LOOPBACK}:{system.ports['api']}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=HEARTBEAT_S * 4) as client:
        yield client


async def requested_job(client: httpx.AsyncClient) -> str:
    answer = await client.post("/api/drives", json={**DRIVE, "auto_calc": True})
    job_id: str = answer.json()["job"]["id"]
    return job_id


async def link_of(client: httpx.AsyncClient, job_id: str) -> str:
    url: str = (await client.get(f"/api/jobs/{job_id}")).json()["events_url"]
    return url


@asynccontextmanager
async def opened(client: httpx.AsyncClient, url: str, **headers: str) -> AsyncIterator[httpx.Response]:
    async with client.stream("GET", url, headers=headers) as stream:
        yield stream


async def end(database_url: str, job_id: str) -> None:
    async with working(database_url) as worker:
        await done(worker, job_id)


def fields(text: str) -> list[dict[str, str]]:
    """Return the fields of each event of a stream, without comments."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block]
    pairs = [[line.split(": ", 1) for line in block if not line.startswith(":")] for block in blocks]
    return [dict(block) for block in pairs if block]


async def test_a_browser_follows_a_job_by_its_link_without_a_token(system: System, database_url: str) -> None:
    async with client_of(system) as client, client_of(system, signed_in=False) as browser:
        job_id = await requested_job(client)
        url = await link_of(client, job_id)
        assert (await browser.get(f"/api/jobs/{job_id}/events")).status_code == 401
        async with opened(browser, url) as stream:
            assert stream.status_code == 200
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["cache-control"] == "no-store"
            assert stream.headers["x-accel-buffering"] == "no"
            text = ""
            async for piece in stream.aiter_text():
                if not text:
                    await end(database_url, job_id)  # the first event arrived before the job ended
                text += piece
        first, *_, last = fields(text)
        assert (first["event"], last["event"]) == ("job", "job")
        assert int(first["retry"]) > 0
        assert '"state":"queued"' in first["data"]
        assert '"state":"succeeded"' in last["data"]
        assert first["id"] != last["id"]

        # When a stream ends, a browser connects again until it gets 204.
        again = await browser.get(url, headers={"Last-Event-ID": last["id"]})
        assert (again.status_code, again.content) == (204, b"")
        for unknown in ("", "0", "nonsense", first["id"]):
            answer = await browser.get(url, headers={"Last-Event-ID": unknown})
            assert (answer.status_code, len(fields(answer.text))) == (200, 1)
        # A token still works.
        assert len(fields((await client.get(f"/api/jobs/{job_id}/events")).text)) == 1


async def test_a_stream_is_kept_alive_and_ends_at_once_when_the_server_stops(system: System) -> None:
    process = system.processes["api"]
    async with client_of(system) as client:
        url = await link_of(client, await requested_job(client))
        async with opened(client, url) as stream:
            pieces = stream.aiter_text()
            await anext(pieces)
            assert (await anext(pieces)).startswith(":")
            started_s = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
            assert [piece async for piece in pieces if piece] == []
            assert time.monotonic() - started_s < 2


async def test_each_user_has_a_limited_number_of_open_streams(system: System) -> None:
    async with client_of(system) as client:
        url = await link_of(client, await requested_job(client))
        async with AsyncExitStack() as stack:
            reading = []  # without a reference to its reader, a connection would be closed
            for _ in range(MAX_STREAMS_PER_USER):
                stream = await stack.enter_async_context(opened(client, url))
                assert stream.status_code == 200
                reading.append(stream.aiter_text())
                await anext(reading[-1])
            async with opened(client, url) as refused:
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) > 0
            other = await client.get("/api/jobs", headers=bearer(Role.COORDINATOR, 77))
            assert other.status_code == 200
            async with opened(client, url.partition("?")[0], **bearer(Role.COORDINATOR, 77)) as others:
                assert others.status_code == 200, "another user is not affected"

        async def accepted_again() -> bool:
            async with opened(client, url) as stream:
                return stream.status_code == 200

        await eventually(accepted_again, within_s=5)
        assert (await client.request("HEAD", url)).status_code == 200


async def test_a_stream_ends_when_its_user_loses_access(system: System, owner: "Owner[asyncpg.Record]") -> None:
    async with client_of(system) as head:
        created = await head.post(
            "/api/users",
            json={"name": "Asha", "email": "asha@college.edu", "role": "COORDINATOR", "password": "correct horse"},
        )
        user_id = created.json()["user_id"]
        job_id = await requested_job(head)
        signed = {"Authorization": f"Bearer {await signed_in(head)}"}
        url = (await head.get(f"/api/jobs/{job_id}", headers=signed)).json()["events_url"]
        async with opened(head, url, **NOBODY) as by_link, opened(head, url.partition("?")[0], **signed) as own:
            streams = [by_link.aiter_text(), own.aiter_text()]
            for stream in streams:
                assert "event: job" in await anext(stream)
            changed = await head.patch(f"/api/users/{user_id}", json={"password": "another horse"})
            assert changed.status_code == 200, changed.text
            for stream in streams:
                async with asyncio.timeout(HEARTBEAT_S * 3):
                    assert not [piece async for piece in stream if "event: job" in piece]
        refused = await head.get(url, headers=NOBODY)
        assert refused.status_code == 403


async def signed_in(client: httpx.AsyncClient) -> str:
    answer = await client.post("/api/auth/login", json={"email": "asha@college.edu", "password": "correct horse"})
    bearer_token: str = answer.json()["token"]
    return bearer_token


def changed_query(url: str, name: str, value: str) -> str:
    parsed = httpx.URL(url)
    return str(parsed.copy_set_param(name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [("user", "2"), ("role", "STAFF"), ("version", "9"), ("exp", "1"), ("exp", "99999999999"), ("exp", "x"),
     ("exp", ""), ("exp", "\u0661"), ("exp", "9" * 5_000), ("sig", "0" * 64), ("sig", "ü"), ("user", "")],
)  # fmt: skip
async def test_a_changed_or_expired_link_gets_403(api: Api, name: str, value: str) -> None:
    job_id = await job_of(api)
    url = (await api.get(f"/api/jobs/{job_id}")).json()["events_url"]
    refused = await api.client.get(changed_query(url, name, value))
    assert (refused.status_code, refused.json()["message"]) == (403, following.EXPIRED)


async def test_a_link_without_its_signature_gets_401(api: Api) -> None:
    url = (await api.get(f"/api/jobs/{await job_of(api)}")).json()["events_url"]
    refused = await api.client.get(changed_query(url, "sig", ""))
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


async def job_of(api: Api) -> str:
    job_id: str = (await api.post("/api/drives", json={**DRIVE, "auto_calc": True})).json()["job"]["id"]
    return job_id


async def test_a_link_is_valid_for_one_job_and_for_a_user_who_may_see_it(api: Api) -> None:
    job_id, other_id = await job_of(api), await job_of(api)
    url = (await api.get(f"/api/jobs/{job_id}")).json()["events_url"]
    assert (await api.client.get(url.replace(job_id, other_id))).status_code == 403
    student = Principal(5, Role.STUDENT, name="", email="", password_version=0)
    signed: Any = following.events_url(Links(SECRET), job_id, student)  # type: ignore[arg-type]
    assert (await api.client.get(signed)).status_code in (403, 404)


async def test_a_link_expires_after_its_lifetime(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await job_of(api)
    url = (await api.get(f"/api/jobs/{job_id}")).json()["events_url"]
    real_time = time.time
    monkeypatch.setattr("services.api.http.links.time.time", lambda: real_time() + LINK_LIFE_S + 1)
    refused = await api.client.get(url)
    assert (refused.status_code, refused.json()["message"]) == (403, following.EXPIRED)


async def test_a_forged_token_cannot_follow_a_job(api: Api) -> None:
    job_id = await job_of(api)
    assert (
        await api.client.get(f"/api/jobs/{job_id}/events", headers={"Authorization": "Bearer x"})
    ).status_code == 401
