"""Requests with the same Idempotency-Key have one effect and get the same answer, also when sent concurrently."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.replicas import replica

Owner = asyncpg.Connection
PDF = b"%PDF-1.4\n%%EOF"


async def test_concurrent_requests_with_one_key_create_one_drive_and_get_equal_answers(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    answers = await asyncio.gather(
        *(
            api.post("/api/drives", json={**DRIVE, "auto_calc": True}, headers={"Idempotency-Key": "k"})
            for _ in range(50)
        )
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval("SELECT count(*) FROM es.job") == 1


async def test_concurrent_requests_with_one_key_to_two_replicas_have_one_effect(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """Another user's requests with the same key have their own single effect."""
    body, key = {**DRIVE, "auto_calc": True}, {"Idempotency-Key": "k"}
    async with replica(database_url, tmp_path) as other:
        answers = await asyncio.gather(
            *(
                (api, other)[number % 2].post("/api/drives", "HEAD", 1 + number // 50, json=body, headers=key)
                for number in range(100)
            )
        )
    assert {answer.status_code for answer in answers} == {202}
    first, second = {answer.content for answer in answers[:50]}, {answer.content for answer in answers[50:]}
    assert (len(first), len(second), first & second) == (1, 1, set())
    assert await owner.fetchval("SELECT count(*) FROM drives") == 2
    assert await owner.fetchval("SELECT count(*) FROM es.job") == 2


async def test_two_users_may_use_the_same_key(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    key = {"Idempotency-Key": "same"}
    first = await api.post("/api/drives", "HEAD", 1, json=DRIVE, headers=key)
    second = await api.post("/api/drives", "HEAD", 2, json=DRIVE, headers=key)
    assert first.status_code == second.status_code == 201
    assert first.json()["drive_id"] != second.json()["drive_id"]


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    await api.post("/api/drives", json=DRIVE, headers=key)
    other = await api.post("/api/drives", json={**DRIVE, "job_title": "SRE"}, headers=key)
    assert other.status_code == 422
    assert "another request" in other.json()["message"]


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_every_route_refuses_an_invalid_key_with_the_same_answer(api: Api, key: str) -> None:
    key_header = {"Idempotency-Key": key}
    published = await api.post("/api/drives/1/publish", json={}, headers=key_header)
    registered = await api.post("/api/registrations/1/register", "STUDENT", 1, headers=key_header)
    assert registered.status_code == published.status_code == 422
    assert registered.json() == published.json()


async def test_a_refused_command_does_not_use_up_its_key(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    refused = await api.post("/api/drives/4711/publish", json={}, headers=key)
    assert refused.status_code == 404
    repeated = await api.post("/api/drives/4711/publish", json={}, headers=key)
    assert repeated.status_code == 404


async def test_a_retry_with_a_pdf_stores_one_file(api: Api, owner: "Owner[asyncpg.Record]", tmp_path: Path) -> None:
    async def create() -> dict[str, object]:
        answer = await api.post(
            "/api/drives",
            data=DRIVE,
            files={"pdf": ("brief.pdf", PDF, "application/pdf")},
            headers={"Idempotency-Key": "k"},
        )
        assert answer.status_code == 201, answer.text
        drive: dict[str, object] = answer.json()
        return drive

    first, second = await create(), await create()
    assert first == second
    link = str(first["pdf_path"])
    assert (await api.client.get(link)).content == PDF
    assert len(list(tmp_path.glob("uploads/job-descriptions/*.pdf"))) == 1  # noqa: ASYNC240


async def test_the_event_stores_a_valid_trace_context_of_the_caller(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for header in (trace, "nonsense"):
        answer = await api.post("/api/drives", json=DRIVE, headers={"traceparent": header})
        assert answer.status_code == 201
    stored = await owner.fetch("SELECT metadata->>'traceparent' AS trace FROM es.event ORDER BY position")
    assert [row["trace"] for row in stored] == [trace, None]
