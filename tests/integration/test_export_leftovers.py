"""Failed attempts of an export leave no unrecorded file, and no record without its file."""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from chassis.errors import Fenced, RuleViolation, StorageFailed
from chassis.jobs.progress import Progress
from chassis.jobs.queue import Claim
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from chassis.storage import Storage, Written
from contracts.exports import COLUMNS, ExportFailed, ExportKind
from contracts.files import export_path
from contracts.jobs import State
from services.exporter import handlers
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import posted
from tests.support.eventually import eventually
from tests.support.exporting import asked, exporting, recorded, stored
from tests.support.job_worker import done, waited, wake
from tests.support.system import as_role

Owner = asyncpg.Connection
ROWS = 40
# A slow commit that a cancel request does not stop, like a commit that waits for the disk.
SLOW_COMMIT = """
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(10);
    RETURN NULL;
EXCEPTION WHEN query_canceled THEN
    PERFORM pg_sleep(4); -- longer than the driver waits before it closes its connection
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER slow_commit AFTER UPDATE ON exports DEFERRABLE INITIALLY DEFERRED
   FOR EACH ROW EXECUTE FUNCTION take_time()
"""
COMMITTING = """
SELECT count(*) FROM pg_stat_activity
 WHERE application_name = 'test-worker' AND query LIKE 'COMMIT%' AND state = 'active'
"""


async def test_a_worker_that_stops_during_the_commit_keeps_the_file(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    export = await asked(api, kind="finished_drives")
    await owner.execute(SLOW_COMMIT)
    async with exporting(database_url, tmp_path) as worker:
        wake(worker, [UUID(export["export_id"])])
        await eventually(lambda: owner.fetchval(COMMITTING))
        await worker.stop(0)
        job = await waited(worker, UUID(export["export_id"]), timeout_s=20)
    await owner.execute("DROP TRIGGER slow_commit ON exports; DROP FUNCTION take_time")
    assert job is not None
    assert job.state is State.SUCCEEDED
    assert (await api.get(f"/api/exports/{export['export_id']}/file")).status_code == 200


def leave_file(folder: Path, path: str) -> Path:
    """Write a file as a killed worker would leave it."""
    file = folder / "uploads" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("left by a killed worker")
    return file


async def test_files_and_parts_of_former_claims_are_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    export = await asked(api, kind="finished_drives")
    id_ = UUID(export["export_id"])
    leave_file(tmp_path, export_path(id_, "csv", uuid4()))
    leave_file(tmp_path, export_path(id_, "csv", uuid4()) + "#1")
    file_of_another_export = leave_file(tmp_path, export_path(uuid4(), "csv", uuid4()))
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, export["export_id"])
    recorded_file = await recorded(owner, export["export_id"])
    assert stored(tmp_path) == sorted(
        [recorded_file or "", file_of_another_export.relative_to(tmp_path / "uploads/temp").as_posix()]
    )


async def test_a_worker_that_lost_its_claim_does_not_delete_the_file_of_the_next_claim(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    export = await asked(api, kind="finished_drives")
    id_ = UUID(export["export_id"])
    await owner.execute(
        "UPDATE es.job SET state = 'running', attempts = 1,"
        " lease_until = now() + interval '1 minute', fence = gen_random_uuid() WHERE id = $1",
        id_,
    )
    file_of_next_claim = leave_file(tmp_path, export_path(id_, "csv", await owner.fetchval("SELECT fence FROM es.job")))
    url = as_role(database_url, "placewire_exporter")
    database = Database(url, pool_size=2, application_name="test")
    progress = Progress(Notifier(url, application_name="test-notify"))
    work = handlers.work(Storage((tmp_path / "uploads").as_uri()), tries=1, kept_s=60, zone=ZoneInfo("UTC"))
    lost_claim = replace(claim(columns=list(COLUMNS[ExportKind.FINISHED_DRIVES])), id=id_, subject=f"export-{id_}")
    lost_claim = replace(lost_claim, data=lost_claim.data | {"export_id": str(id_)})
    try:
        with pytest.raises(Fenced):
            async with work.stage(database, lost_claim, progress):
                pass
    finally:
        await database.close()
    assert file_of_next_claim.exists()


async def test_the_folder_of_an_export_is_deleted_with_its_last_file(tmp_path: Path) -> None:
    path = export_path(uuid4(), "csv", uuid4())
    file, part = leave_file(tmp_path, path), leave_file(tmp_path, export_path(uuid4(), "csv", uuid4()) + "#1")
    storage = Storage((tmp_path / "uploads").as_uri())
    await storage.delete(path)
    assert (file.parent.exists(), part.parent.exists()) == (False, True)
    await storage.delete(part.relative_to(tmp_path / "uploads").as_posix().removesuffix("#1"))
    assert os.listdir(tmp_path / "uploads" / "temp") == []


def claim(**data: object) -> Claim:
    export_id = UUID("01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10")
    event_data = {"export_id": str(export_id), "kind": "finished_drives", "format": "csv", **data}
    return Claim(
        id=export_id, fence=uuid4(), attempts=1, kind="export", subject=f"export-{export_id}", requested_by=1,
        older_ids=[], queued_at=datetime.now(UTC), stream_version=1, data=event_data, metadata={},
        type="placewire.export.requested.v1",
    )  # fmt: skip


def test_an_export_of_an_unknown_kind_is_reported_as_failed() -> None:
    claimed = claim(kind="marriages", columns=["bride"])
    assert handlers.failed(claimed, "why") == (claimed.subject, ExportFailed(export_id=claimed.id, reason="why"))


async def test_a_failed_write_ends_the_attempt_and_its_progress(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_self: Written, _content: bytes) -> None:
        raise StorageFailed("The storage does not take this file.")

    # Postgres has already sent all rows. A COPY whose rows are not read any more must not wait without end.
    monkeypatch.setattr(Written, "write", refuse)
    url = as_role(database_url, "placewire_exporter")
    database = Database(url, pool_size=2, application_name="test")
    progress = Progress(Notifier(url, application_name="test-notify"))
    work = handlers.work(Storage(tmp_path.as_uri()), tries=1, kept_s=60, zone=ZoneInfo("UTC"))
    claimed = claim(columns=list(COLUMNS[ExportKind.FINISHED_DRIVES]))
    try:
        with pytest.raises(RuleViolation):
            async with work.stage(database, claimed, progress):
                pass
        assert progress.measure is None
    finally:
        await database.close()


@pytest.mark.damages
async def test_an_export_reports_progress_and_can_be_cancelled_while_the_storage_hangs(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enrol(owner, ROWS)
    await owner.execute("UPDATE users SET name = repeat('x', 1000000)")  # more than the socket buffers can hold
    drive_id = await posted(api)
    export = await asked(api, kind="eligible_students", drive_id=drive_id)

    async def hang(self: Written, content: bytes) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Written, "write", hang)

    async def published() -> bool:
        job = (await api.get(f"/api/jobs/{export['export_id']}")).json()
        return bool(job["state"] == "running" and 0 < (job["progress"] or {"rows": 0})["rows"] < ROWS)

    async with exporting(database_url, tmp_path) as worker:
        wake(worker, [UUID(export["export_id"])])
        await eventually(published)
        assert (await api.post(f"/api/jobs/{export['export_id']}/cancel")).status_code == 200

        async def cleaned_up() -> bool:
            return worker.busy == 0 and not stored(tmp_path)

        await eventually(cleaned_up)
