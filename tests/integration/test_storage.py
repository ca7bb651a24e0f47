"""Storage in a folder: concurrent checks, partial uploads, and files that cannot be deleted."""

import asyncio
import os
from pathlib import Path

import pytest

from chassis.errors import StorageFailed
from chassis.storage import Storage


async def test_concurrent_checks_of_the_storage_succeed(tmp_path: Path) -> None:
    storage = Storage(tmp_path.as_uri())

    async def check() -> str:
        try:
            await storage.check()
        except SystemExit as error:
            return str(error)
        return ""

    for _ in range(20):
        assert {*await asyncio.gather(*(check() for _ in range(8)))} == {""}


async def test_deleting_a_file_also_deletes_only_its_own_parts(tmp_path: Path) -> None:
    storage = Storage(tmp_path.as_uri())
    for name in ("file[1].csv", "file[1].csv#1", "file[1].csv#2", "file1.csv#1", "file[1].csv2"):
        (tmp_path / name).write_text("")
    await storage.delete("file[1].csv")
    await storage.delete("file[1].csv")
    assert sorted(os.listdir(tmp_path)) == ["file1.csv#1", "file[1].csv2"]


async def test_a_part_that_cannot_be_deleted_is_reported_as_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "file.csv#1").mkdir()
    with pytest.raises(StorageFailed):
        await Storage(tmp_path.as_uri()).delete("file.csv")


async def test_a_failed_upload_keeps_its_error_when_its_parts_cannot_be_deleted(tmp_path: Path) -> None:
    async def give_up() -> None:
        async with Storage(tmp_path.as_uri()).writing("file.csv", "text/csv", "file.csv"):
            (tmp_path / "file.csv#99").mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await give_up()
