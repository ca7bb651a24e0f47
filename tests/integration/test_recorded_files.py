"""A process that stores files does not start if the storage has none of the files that the database names."""

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from chassis import recorded_files
from chassis.postgres.database import Database
from chassis.storage import Storage, StorageUnusable
from cli.doctor import stored_files
from cli.doctor.finding import State
from contracts.files import JOB_DESCRIPTIONS
from tests.conftest import Api
from tests.support.replicas import replica

PDF = ("job.pdf", b"%PDF-1.4\n%%EOF\n", "application/pdf")
FORM = {"company_name": "Acme", "job_title": "SDE", "min_cgpa": "6"}
Owner = asyncpg.Connection


async def with_pdf(api: Api) -> str:
    """Create a drive with a PDF. Return the path of the PDF in the storage."""
    answer = await api.post("/api/drives", data=FORM, files={"pdf": PDF})
    assert answer.status_code in (200, 201, 202), answer.text
    path: str = urlsplit(answer.json()["pdf_path"]).path
    return path.removeprefix("/uploads/")


async def test_the_api_refuses_a_storage_without_the_files(api: Api, database_url: str, tmp_path: Path) -> None:
    other = (tmp_path / "elsewhere").as_uri()
    async with replica(database_url, tmp_path, storage_url=other):
        """The API starts: the database names no file yet."""
    path = await with_pdf(api)
    with pytest.raises(StorageUnusable) as refused:
        async with replica(database_url, tmp_path, storage_url=other):
            pytest.fail("the API has started")
    message = str(refused.value)
    assert "\n" not in message
    assert path in message
    assert "Set it back, or copy the files there first" in message
    async with replica(database_url, tmp_path, storage_url=other, storage_ignore_missing_files=True):
        """The API starts: the setting accepts the missing files."""
    (tmp_path / "elsewhere" / JOB_DESCRIPTIONS).mkdir()
    (tmp_path / "elsewhere" / path).write_bytes((tmp_path / "uploads" / path).read_bytes())
    async with replica(database_url, tmp_path, storage_url=other):
        """The API starts: the files were copied."""


@pytest.mark.parametrize("role", ["placewire_exporter", "placewire_maintenance", "placewire_api"])
async def test_each_process_that_stores_files_checks_its_storage(
    api: Api, database_url: str, owner: "Owner[asyncpg.Record]", tmp_path: Path, role: str
) -> None:
    """The test uses a file of an export, because maintenance may not read drives."""
    asked = await api.post("/api/exports", json={"kind": "finished_drives"})
    await owner.execute(
        "UPDATE exports SET state = 'completed', path = 'temp/a.csv', expires_at = now() + interval '1 hour'"
        " WHERE export_id = $1",
        asked.json()["job"]["id"],
    )
    database = Database(database_url.replace("postgres@", f"{role}@"), pool_size=1, application_name="test")
    storage = Storage((tmp_path / "other").as_uri())
    try:
        with pytest.raises(StorageUnusable, match=r"temp/a\.csv"):
            await recorded_files.check(database, storage, ignore_missing=False)
        await storage.write("temp/a.csv", b"")
        await recorded_files.check(database, storage, ignore_missing=False)
        await storage.delete("temp/a.csv")
        await owner.execute("UPDATE exports SET expires_at = now()")
        await recorded_files.check(database, storage, ignore_missing=False)
    finally:
        await database.close()
        await owner.execute("UPDATE exports SET state = 'requested', path = NULL, expires_at = NULL")


async def test_the_doctor_reports_another_storage_and_a_lost_file(
    api: Api, database_url: str, owner: "Owner[asyncpg.Record]", tmp_path: Path
) -> None:
    lost, _there = await with_pdf(api), await with_pdf(api)

    async def diagnosis(folder: str) -> tuple[State, str]:
        environment = {"STORAGE_URL": (tmp_path / folder).as_uri()}
        [found_] = [finding async for finding in stored_files.look(database_url, environment)]
        assert bool(found_.fix) == (found_.state is State.WRONG)
        return found_.state, found_.message

    assert await diagnosis("uploads") == (State.OK, "the 2 newest files that the database names exist")
    state, message = await diagnosis("other")
    assert (state, message.startswith("STORAGE_URL is not where the files are")) == (State.WRONG, True)
    (tmp_path / "uploads" / lost).unlink()
    state, message = await diagnosis("uploads")
    assert (state, lost in message) == (State.WRONG, True)


async def test_the_check_passes_while_the_database_is_unreachable(tmp_path: Path) -> None:
    database = Database("postgresql://placewire_api@127.0.0.1:9/none", pool_size=1, application_name="test")
    await recorded_files.check(database, Storage(tmp_path.as_uri()), ignore_missing=False)
    await database.close()
