"""Idempotency-Key: the first answer again, one effect, also when all ask at once."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.replicas import replica

Owner = asyncpg.Connection
PDF = b"%PDF-1.4\n%%EOF"


async def test_the_same_key_fifty_times_at_once_is_one_drive_and_fifty_equal_answers(
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


async def test_over_two_replicas_the_same_key_fifty_times_at_once_is_one_effect(
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


async def test_two_users_with_the_same_key_do_not_meet(api: Api, owner: "Owner[asyncpg.Record]") -> None:
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
async def test_a_key_that_is_none_is_refused_alike_however_it_is_read(api: Api, key: str) -> None:
    asked = {"Idempotency-Key": key}
    by_fastapi = await api.post("/api/drives/1/publish", json={}, headers=asked)
    by_hand = await api.post("/api/registrations/1/register", "STUDENT", 1, headers=asked)
    assert by_hand.status_code == by_fastapi.status_code == 422
    assert by_hand.json() == by_fastapi.json()


async def test_a_refused_command_leaves_its_key_free(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    refused = await api.post("/api/drives/4711/publish", json={}, headers=key)
    assert refused.status_code == 404
    again = await api.post("/api/drives/4711/publish", json={}, headers=key)
    assert again.status_code == 404


async def test_a_retry_with_a_pdf_keeps_one_file(api: Api, owner: "Owner[asyncpg.Record]", tmp_path: Path) -> None:
    async def create() -> dict[str, object]:
        answer = await api.post(
            "/api/drives",
            data=DRIVE,
            files={"pdf": ("brief.pdf", PDF, "application/pdf")},
            headers={"Idempotency-Key": "k"},
        )
        assert answer.status_code == 201, answer.text
        found: dict[str, object] = answer.json()
        return found

    first, second = await create(), await create()
    assert first == second
    link = str(first["pdf_path"])
    assert (await api.client.get(link)).content == PDF
    assert len(list(tmp_path.glob("uploads/job-descriptions/*.pdf"))) == 1  # noqa: ASYNC240


async def test_a_callers_trace_goes_with_the_event_though_we_make_none(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for given in (trace, "nonsense"):
        answer = await api.post("/api/drives", json=DRIVE, headers={"traceparent": given})
        assert answer.status_code == 201
    stored = await owner.fetch("SELECT metadata->>'traceparent' AS trace FROM es.event ORDER BY position")
    assert [row["trace"] for row in stored] == [trace, None]
