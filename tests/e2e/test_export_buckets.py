"""Exports into a bucket of a local S3 server (moto)."""

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import httpx
import pytest

from chassis.storage import Storage
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import posted
from tests.support.exporting import asked, exporting, register_many
from tests.support.job_worker import done, until_dead_lettered
from tests.support.leftovers import for_the_session
from tests.support.replicas import replica

pytestmark = pytest.mark.xdist_group("buckets")

Owner = asyncpg.Connection
URL = "s3://files-of-tests/placewire"
BUCKET = "files-of-tests"


class Bucket:
    def __init__(self, server: Process, endpoint: str) -> None:
        self.server = server
        self.client: Any = boto3.client("s3", endpoint_url=endpoint)

    @property
    def objects(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    @property
    def unfinished_uploads(self) -> int:
        return len(self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    port, folder = free_port(), tmp_path_factory.mktemp("moto")
    with for_the_session():
        process = Process.start(
            "moto",
            [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)],
            log=folder / "moto.log",
            env={**os.environ, "NO_PROXY": LOOPBACK},
            cwd=folder,
            url=f"http://{LOOPBACK}:{port}/moto-api/",
        )
    try:
        process.wait_ready()
        yield process
    finally:
        process.kill()


@pytest.fixture
def bucket(server: Process, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Return an empty bucket. The server has no other bucket."""
    moto = str(server.url)
    endpoint = moto.removesuffix("/moto-api/")
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "only-for-tests", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert httpx.post(f"{moto}reset").is_success
    bucket = Bucket(server, endpoint)
    bucket.client.create_bucket(Bucket=BUCKET)
    return bucket


async def test_a_file_in_a_bucket_is_downloaded_by_a_signed_link(
    bucket: Bucket, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    async with replica(database_url, tmp_path, storage_url=URL) as api:
        await enrol(owner, 300)
        drive_id = await posted(api)
        await register_many(owner, drive_id, 300)
        export = await asked(api, kind="registrations", drive_id=drive_id)
        async with exporting(database_url, tmp_path, url=URL) as worker:
            await done(worker, export["export_id"])
        completed = (await api.get(f"/api/exports/{export['export_id']}")).json()
        answer = await api.get(completed["file"])
        assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
        assert (await api.get(completed["file"], "STAFF", 7)).status_code == 404
    async with httpx.AsyncClient() as anybody:
        file = await anybody.get(answer.headers["Location"])
    assert file.status_code == 200
    assert hashlib.sha256(file.content).hexdigest() == completed["sha256"]
    assert file.headers["Content-Disposition"] == f'attachment; filename="registrations-drive-{drive_id}.csv"'
    assert file.headers["Content-Type"].startswith("text/csv")
    [stored] = bucket.objects
    assert stored.startswith(f"placewire/temp/{export['export_id']}/")


async def test_an_upload_that_fails_midway_leaves_nothing(bucket: Bucket) -> None:
    storage = Storage(URL)

    async def fail_midway() -> None:
        async with storage.writing("temp/file.csv", "text/csv", "file.csv") as file:
            for _ in range(30):
                await file.write(b"x" * 1024 * 1024)
            assert bucket.unfinished_uploads == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_midway()
    assert (bucket.objects, bucket.unfinished_uploads) == ([], 0)


async def test_a_cancelled_upload_leaves_nothing(bucket: Bucket) -> None:
    storage = Storage(URL)
    begun = asyncio.Event()

    async def write() -> None:
        async with storage.writing("temp/file.csv", "text/csv", "file.csv") as file:
            while True:
                await file.write(b"x" * 1024 * 1024)
                if file.size_bytes > 20 * 1024 * 1024:
                    begun.set()

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (bucket.objects, bucket.unfinished_uploads) == ([], 0)


async def test_a_part_of_a_large_file_can_be_read(bucket: Bucket) -> None:
    storage = Storage(URL)
    block = bytes(range(256)) * 4096
    async with storage.writing("temp/file.csv", "text/csv", "file.csv") as file:
        for _ in range(30):
            await file.write(block)
    assert file.sha256 == hashlib.sha256(block * 30).hexdigest()
    chunks = [chunk async for chunk in await storage.stream("temp/file.csv", 5, 20_000_005)]
    assert b"".join(chunks) == (block * 30)[5:20_000_005]
    await storage.delete("temp/file.csv")
    await storage.delete("temp/file.csv")
    assert bucket.objects == []


async def test_a_missing_bucket_is_reported_at_the_start(bucket: Bucket) -> None:
    with pytest.raises(SystemExit, match="STORAGE_URL cannot be written"):
        await Storage("s3://another-bucket").check()


async def test_a_bucket_is_listed_in_pages(bucket: Bucket) -> None:
    storage = Storage(URL)
    names = {f"temp/{number}.csv" for number in range(7)}
    for name in (*names, "job-descriptions/1-a.pdf"):
        await storage.write(name, b"x")
    pages = [page async for page in storage.pages("temp", limit=3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {file.path for page in pages for file in page} == names
    assert all(abs(datetime.now(UTC) - file.modified_at) < timedelta(minutes=1) for page in pages for file in page)
    assert [page async for page in storage.pages("nothing", limit=3)] == []


async def test_an_export_fails_when_the_server_is_down(
    bucket: Bucket, api: Api, database_url: str, tmp_path: Path
) -> None:
    """This must be the last test, because it stops the server."""
    export = await asked(api, kind="finished_drives")
    async with exporting(database_url, tmp_path, url=URL) as worker:
        bucket.server.kill()
        job = await until_dead_lettered(worker, export["export_id"])
    assert job.error == "The storage does not take this file. Tried 2 times."
