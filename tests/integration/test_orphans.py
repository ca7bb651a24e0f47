"""Files and read marks without references are deleted. Those that a drive, an export or a worker needs are kept."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.drives import DriveRevised
from contracts.files import export_path
from services.maintenance.expiry import orphans
from tests.conftest import Api
from tests.support.drive_scenarios import posted
from tests.support.eventually import eventually
from tests.support.exporting import asked, exporting, stored
from tests.support.job_worker import done
from tests.support.maintenance_app import after, aged, maintaining
from tests.support.system import System

Owner = asyncpg.Connection
PDF = {"pdf": ("Brief.pdf", b"%PDF-1.7 brief", "application/pdf")}


async def drive_with_pdf(api: Api, folder: Path, *, days: float) -> tuple[int, Path]:
    """Create a drive with a PDF that was written ``days`` ago. Return its id and the path of the file."""
    answer = await api.post("/api/drives", data={"company_name": "Acme", "job_title": "SDE"}, files=PDF)
    assert answer.status_code == 201, answer.text
    path = answer.json()["pdf_path"].partition("?")[0].removeprefix("/uploads/")
    return answer.json()["drive_id"], aged(folder / "uploads" / path, days=days)


def leave_file(folder: Path, name: str, *, days: float) -> Path:
    path = folder / "uploads" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left")
    return aged(path, days=days)


def exist(*paths: Path) -> list[bool]:
    return [path.exists() for path in paths]


async def test_pdfs_without_a_drive_are_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "BATCH", 2)  # so that there are several pages
    _, referenced = await drive_with_pdf(api, tmp_path, days=400)
    deleted, of_deleted = await drive_with_pdf(api, tmp_path, days=2)
    content = of_deleted.read_bytes()
    assert (await api.delete(f"/api/drives/{deleted}")).status_code == 200
    of_deleted.write_bytes(content)  # as if the API was killed before it deleted the file
    aged(of_deleted, days=2)
    refused = [leave_file(tmp_path, f"job-descriptions/{number}-never.pdf", days=1.1) for number in range(5)]
    partial = leave_file(tmp_path, "job-descriptions/7-half.pdf#1", days=2)
    uploading = leave_file(tmp_path, "job-descriptions/8-just-now.pdf", days=0.9)
    partial_upload = leave_file(tmp_path, "job-descriptions/9-just-now.pdf#3", days=0.9)
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["pdfs"] == 7
        assert (await maintenance.orphans.once(after()))["pdfs"] == 0
    assert exist(of_deleted, partial, *refused) == [False] * 7
    assert exist(referenced, uploading, partial_upload) == [True] * 3


@pytest.mark.damages
async def test_a_pdf_is_kept_while_the_log_has_its_drive_even_if_the_table_lost_it(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id, kept = await drive_with_pdf(api, tmp_path, days=400)
    assert (await api.patch(f"/api/drives/{drive_id}", json={"job_title": "SRE"})).status_code == 200
    await owner.execute("DELETE FROM drives")
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["pdfs"] == 0
    assert kept.exists()


@pytest.mark.damages
async def test_a_replaced_pdf_is_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """No route replaces a PDF yet, so the test inserts the event."""
    drive_id, replaced = await drive_with_pdf(api, tmp_path, days=3)
    newer = leave_file(tmp_path, "job-descriptions/1-newer.pdf", days=2)
    await owner.execute(
        """INSERT INTO es.event (tx, xid, stream_id, version, event_id, type, data, metadata)
           SELECT tx, xid, stream_id, 2, gen_random_uuid(), $2,
                  jsonb_set(data, '{posting,pdf_path}', '"/uploads/job-descriptions/1-newer.pdf"'), metadata
             FROM es.event WHERE stream_id = $1""",
        f"drive-{drive_id}",
        DriveRevised.TYPE,
    )
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["pdfs"] == 1
    assert exist(replaced, newer) == [False, True]


async def test_unneeded_files_of_exports_are_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    finished = (await asked(api, kind="finished_drives"))["export_id"]
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, finished)
    running, cancelled = [(await asked(api, kind="finished_drives"))["export_id"] for _ in range(2)]
    assert (await api.post(f"/api/jobs/{cancelled}/cancel")).status_code == 200
    await owner.execute("UPDATE es.job SET state = 'running' WHERE id = $1", running)
    [recorded] = stored(tmp_path)
    assert recorded.startswith(f"{finished}/")
    kept = [
        aged(tmp_path / "uploads" / "temp" / recorded, days=300),
        leave_file(tmp_path, export_path(UUID(running), "csv", uuid4()), days=300),
        leave_file(tmp_path, export_path(UUID(running), "csv", uuid4()) + "#1", days=300),
        leave_file(tmp_path, export_path(UUID(finished), "csv", uuid4()), days=0.9),
        leave_file(tmp_path, "temp/somebody-elses.csv", days=300),
    ]
    deleted = [
        leave_file(tmp_path, export_path(UUID(finished), "csv", uuid4()), days=1.1),
        leave_file(tmp_path, export_path(UUID(finished), "csv", uuid4()) + "#1", days=1.1),
        leave_file(tmp_path, export_path(UUID(cancelled), "csv", uuid4()), days=1.1),
        leave_file(tmp_path, f"temp/{cancelled}-1.csv", days=1.1),  # named as in release 0.1
        leave_file(tmp_path, "temp/00000000-0000-7000-8000-000000000000-1.xlsx", days=1.1),  # of an expired job
    ]
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["export_files"] == 5
        assert (exist(*kept), exist(*deleted)) == ([True] * 5, [False] * 5)
        await owner.execute("UPDATE es.job SET state = 'queued' WHERE id = $1", running)


@pytest.mark.damages
async def test_a_file_is_kept_while_the_log_has_its_export_even_if_the_table_lost_it(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    export_id = (await asked(api, kind="finished_drives"))["export_id"]
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, export_id)
    aged(tmp_path / "uploads" / "temp" / stored(tmp_path)[0], days=300)
    await owner.execute("DELETE FROM exports; DELETE FROM es.job")
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["export_files"] == 0
    assert len(stored(tmp_path)) == 1


async def test_a_file_that_cannot_be_deleted_does_not_block_the_others(database_url: str, tmp_path: Path) -> None:
    [first, second] = [leave_file(tmp_path, f"job-descriptions/{number}-a.pdf", days=2) for number in (1, 2)]
    part = leave_file(tmp_path, "job-descriptions/1-a.pdf#1", days=2)
    part.unlink()
    part.mkdir()  # cleanup fails here first, because a folder cannot be deleted as a file
    async with maintaining(database_url, tmp_path) as maintenance:
        counts = await maintenance.orphans.once(after())
    assert (counts["pdfs"], exist(first, second)) == (1, [True, False])


async def marks(owner: "Owner[asyncpg.Record]") -> set[int]:
    """Return the drives with notifications that somebody has read."""
    rows = await owner.fetch("""
        SELECT (e.data ->> 'drive_id')::integer AS id
          FROM notification_reads r JOIN es.event e ON e.position = r.notification_id / 8""")
    return {row["id"] for row in rows}


async def test_read_marks_are_deleted_with_their_drive(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "BATCH", 3)
    kept, deleted = [await posted(api) for _ in range(2)]
    await owner.execute("""
        INSERT INTO notification_reads SELECT u, notification_id, now()
          FROM notifications CROSS JOIN generate_series(1, 4) u""")
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["read_marks"] == 0
        of_deleted = await owner.fetchval("SELECT count(*) FROM notifications WHERE entity_id = $1", deleted)
        assert (await api.delete(f"/api/drives/{deleted}")).status_code == 200
        assert await marks(owner) == {kept, deleted}
        assert (await maintenance.orphans.once(after()))["read_marks"] == 4 * of_deleted > 3
        assert await marks(owner) == {kept}
        backup = "CREATE TEMP TABLE lost AS SELECT * FROM notifications; DELETE FROM notifications"
        await owner.execute(backup)  # a damaged table, which a rebuild would fill again
        assert (await maintenance.orphans.once(after()))["read_marks"] == 0
        await owner.execute("INSERT INTO notifications SELECT * FROM lost")


UPKEEP = """
SELECT c.oid::regclass::text AS name, o.option_name AS option, o.option_value AS value
  FROM pg_class c CROSS JOIN pg_options_to_table(c.reloptions) o
 WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'es'::regnamespace)
"""


async def test_tables_with_many_changes_have_storage_options(owner: "Owner[asyncpg.Record]") -> None:
    options_by_table: dict[str, dict[str, str]] = {}
    for row in await owner.fetch(UPKEEP):
        options_by_table.setdefault(row["name"], {})[row["option"]] = row["value"]
    fill_factors = {
        name: options["fillfactor"] for name, options in options_by_table.items() if "fillfactor" in options
    }
    assert fill_factors == {
        "es.probe": "10", "es.job": "50", "es.outbox": "70", "es.subscription": "50", "idempotency_keys": "80",
        "drives": "70", "evaluations": "70", "exports": "70", "notification_read_marks": "70", "es.stream": "90",
        "students": "90", "users": "90", "attendance": "90",
    }  # fmt: skip
    vacuumed_early = {
        name
        for name, options in options_by_table.items()
        if float(options.get("autovacuum_vacuum_scale_factor", 1)) <= 0.05
    }
    assert vacuumed_early >= {
        "es.job", "es.outbox", "es.stream", "idempotency_keys", "students", "selections", "attendance",
        "notification_reads",
    }  # fmt: skip
    growing = {name for name, options in options_by_table.items() if "autovacuum_vacuum_insert_scale_factor" in options}
    assert growing == {"es.event", "registrations", "attendance", "selections"}


async def test_the_maintenance_process_deletes_expired_rows_and_orphans(
    system: System, api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    async def requested_export() -> str:
        body = {"kind": "finished_drives"}
        answer = await api.post("/api/exports", json=body, headers={"Idempotency-Key": "k"})
        return str(answer.json()["export_id"])

    expired = await requested_export()
    async with exporting(database_url, tmp_path, kept_s=0.01) as worker:
        await done(worker, expired)
    lasting = await asked(api, kind="finished_drives")
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, lasting["export_id"])
    await owner.execute("UPDATE es.job SET finished_at = finished_at - interval '40 days' WHERE id = $1", expired)
    await owner.execute("UPDATE idempotency_keys SET created_at = created_at - interval '40 days'")
    orphan = leave_file(tmp_path, "job-descriptions/1-never.pdf", days=2)
    fresh = leave_file(tmp_path, "job-descriptions/2-now.pdf", days=0)
    system.start("maintenance", EXPIRY_EVERY_S="0.2", ORPHANS_EVERY_S="0.2", EXPIRED_FILES_KEPT_S="0")

    async def deleted() -> bool:
        left_in = "SELECT (SELECT count(*) FROM es.job WHERE kind = 'export') + (SELECT count(*) FROM idempotency_keys)"
        recorded = await owner.fetchval("SELECT state FROM exports WHERE export_id = $1", expired)
        return recorded == "expired" and await owner.fetchval(left_in) == 1 and not orphan.exists()

    await eventually(deleted)
    async with system.client("maintenance") as client:
        metrics = (await client.get("/metrics")).text
    for kind in ("exports", "jobs", "idempotency_keys", "pdfs"):
        assert f'placewire_expired_total{{what="{kind}"}} 1.0' in metrics, kind
    await asyncio.to_thread(system.processes["maintenance"].stop)
    assert [path.partition("/")[0] for path in stored(tmp_path)] == [lasting["export_id"]]
    assert fresh.exists()
