"""PDFs of drives: each upload has its own file, and no request deletes the file of another drive."""

import asyncio
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from chassis.errors import StorageFailed, StorageFull
from chassis.storage import Storage
from services.api.drives import pdf_files
from services.api.drives.pdf_files import file_name
from tests.conftest import Api
from tests.support.full_disk import files_up_to

FORM = {"company_name": "Acme", "job_title": "SDE"}
PAIRS = 12
MIB = 1024 * 1024


def pdf(content: bytes = b"%PDF-1.7 brief", name: str = "brief.pdf") -> dict[str, Any]:
    return {"pdf": (name, content, "application/pdf")}


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "uploads" / "job-descriptions").iterdir()}


async def create(api: Api, key: str | None = None, **options: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await api.post("/api/drives", data=FORM, headers=headers, files=pdf(**options))


async def download(api: Api, answer: httpx.Response) -> httpx.Response:
    return await api.client.get(answer.json()["pdf_path"])


async def test_concurrent_requests_with_one_key_keep_one_file(api: Api, tmp_path: Path) -> None:
    for number in range(PAIRS):
        first, second = await asyncio.gather(*(create(api, f"key-{number}") for _ in range(2)))
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["drive_id"] == second.json()["drive_id"]
        assert (await download(api, first)).status_code == 200
    assert len(files(tmp_path)) == PAIRS, "the second upload of each pair must be deleted"


async def test_concurrent_drives_with_the_same_file_name_have_separate_files(api: Api, tmp_path: Path) -> None:
    answers = await asyncio.gather(*(create(api, content=b"%%PDF-1.7 %d" % number) for number in range(2 * PAIRS)))
    for number, answer in enumerate(answers):
        assert (await download(api, answer)).content == b"%%PDF-1.7 %d" % number
    assert len(files(tmp_path)) == 2 * PAIRS


async def test_repeated_create_and_delete_requests_delete_no_file(api: Api, tmp_path: Path) -> None:
    first = await create(api, "create")
    assert (await create(api, "create")).json()["drive_id"] == first.json()["drive_id"]
    assert (await download(api, first)).status_code == 200
    path = f"/api/drives/{first.json()['drive_id']}"
    assert (await api.delete(path, headers={"Idempotency-Key": "delete"})).status_code == 200
    assert files(tmp_path) == set()
    [name] = [first.json()["pdf_path"].partition("?")[0].rpartition("/")[2]]
    put_back = tmp_path / "uploads" / "job-descriptions" / name
    put_back.write_bytes(b"%PDF-1.7 another request's")
    assert (await api.delete(path, headers={"Idempotency-Key": "delete"})).status_code == 200
    assert (await api.delete(path)).status_code == 200
    assert put_back.exists(), "only the request that recorded the deletion may delete the file"


async def test_a_refused_create_leaves_no_file(api: Api, tmp_path: Path) -> None:
    refused = await api.post("/api/drives", data={**FORM, "domain_id": "4711"}, files=pdf())
    assert refused.status_code == 400
    assert files(tmp_path) == set()
    await create(api, "key")
    other = await api.post(
        "/api/drives", data={**FORM, "job_title": "SRE"}, files=pdf(), headers={"Idempotency-Key": "key"}
    )
    assert other.status_code == 422
    assert len(files(tmp_path)) == 1


async def test_the_deletion_records_the_file_and_the_registrations(api: Api) -> None:
    drive = (await create(api)).json()
    await api.delete(f"/api/drives/{drive['drive_id']}")
    [newest, *_] = (await api.get(f"/api/drives/{drive['drive_id']}/history")).json()
    assert newest["type"] == "placewire.drive.deleted.v1"
    assert newest["facts"] == {"registered": 0}


@pytest.mark.parametrize(
    "name", ["brief.pdf", "my job (final).pdf", "नौकरी विवरण.pdf", "வேலை விவரம்.pdf", "职位描述.PDF"]
)
async def test_a_file_keeps_its_name_in_any_script(api: Api, name: str) -> None:
    answer = await create(api, name=name)
    assert answer.json()["pdf_path"].isascii()
    assert "%" not in answer.json()["pdf_path"]
    disposition = (await download(api, answer)).headers["Content-Disposition"]
    saved_as = name[:-4] + ".pdf"
    if name == "brief.pdf":
        assert disposition == 'inline; filename="brief.pdf"'
    else:
        assert f"filename*=UTF-8''{quote(saved_as, safe='')}" in disposition


@pytest.mark.parametrize(
    ("uploaded", "saved"),
    [
        ("C:\\Users\\me\\Brief.PDF", "Brief.pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        ("evil.html", "evil.html.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "aSet-Cookie: x.pdf"),
        ("gpj\u202efdp.pdf", "gpjfdp.pdf"),
        ("क्\u200dष.pdf", "क्\u200dष.pdf"),
        (".pdf", "drive.pdf"),
        ("x" * 400 + ".pdf", "x" * 200 + ".pdf"),
    ],
)
def test_a_file_name_is_made_safe(uploaded: str, saved: str) -> None:
    assert file_name(uploaded) == saved


def test_paths_are_unique() -> None:
    assert len({pdf_files.new_path("brief.pdf") for _ in range(1000)}) == 1000


async def test_storage_never_overwrites_a_file(tmp_path: Path) -> None:
    storage = Storage(tmp_path.as_uri())
    await storage.write("job-descriptions/a.pdf", b"first")
    with pytest.raises(StorageFailed):
        await storage.write("job-descriptions/a.pdf", b"second")
    assert await storage.read("job-descriptions/a.pdf") == b"first"


async def test_a_write_that_fails_deletes_no_other_file(tmp_path: Path) -> None:
    """The write fails at the size limit, before the storage notices that the file exists."""
    storage = Storage(tmp_path.as_uri())
    await storage.write("job-descriptions/a.pdf", b"first")
    with files_up_to(MIB):
        for name in ("a.pdf", "b.pdf"):
            with pytest.raises(StorageFull):
                await storage.write(f"job-descriptions/{name}", b"x" * 2 * MIB)
    assert os.listdir(tmp_path / "job-descriptions") == ["a.pdf"], "the failed writes must leave no file"
    assert await storage.read("job-descriptions/a.pdf") == b"first"


async def test_repeating_a_create_request_after_the_deletion_leaves_no_file(api: Api, tmp_path: Path) -> None:
    first = await create(api, "create")
    await api.delete(f"/api/drives/{first.json()['drive_id']}")
    repeated = await create(api, "create")
    assert (repeated.status_code, repeated.json()["drive_id"]) == (201, first.json()["drive_id"])
    assert files(tmp_path) == set()
