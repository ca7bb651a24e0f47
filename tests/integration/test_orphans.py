"""Files and read marks that nothing refers to are deleted; whatever a drive, an export or a worker needs stays."""

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
    """The drive's id, and its PDF, which was written ``days`` ago."""
    answer = await api.post("/api/drives", data={"company_name": "Acme", "job_title": "SDE"}, files=PDF)
    assert answer.status_code == 201, answer.text
    path = answer.json()["pdf_path"].partition("?")[0].removeprefix("/uploads/")
    return answer.json()["drive_id"], aged(folder / "uploads" / path, days=days)


def left(folder: Path, name: str, *, days: float) -> Path:
    path = folder / "uploads" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left")
    return aged(path, days=days)


def there(*paths: Path) -> list[bool]:
    return [path.exists() for path in paths]


async def test_pdfs_that_no_drive_refers_to(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "BATCH", 2)  # so that there are several pages
    _, kept = await drive_with_pdf(api, tmp_path, days=400)
    deleted, of_deleted = await drive_with_pdf(api, tmp_path, days=2)
    content = of_deleted.read_bytes()
    assert (await api.delete(f"/api/drives/{deleted}")).status_code == 200
    of_deleted.write_bytes(content)  # as if the API had died before it could delete it
    aged(of_deleted, days=2)
    refused = [left(tmp_path, f"job-descriptions/{number}-never.pdf", days=1.1) for number in range(5)]
    half = left(tmp_path, "job-descriptions/7-half.pdf#1", days=2)
    uploading = left(tmp_path, "job-descriptions/8-just-now.pdf", days=0.9)
    uploading_half = left(tmp_path, "job-descriptions/9-just-now.pdf#3", days=0.9)
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["pdfs"] == 7
        assert (await maintenance.orphans.once(after()))["pdfs"] == 0
    assert there(of_deleted, half, *refused) == [False] * 7
    assert there(kept, uploading, uploading_half) == [True] * 3


@pytest.mark.damages
async def test_a_pdf_stays_though_the_table_has_lost_its_drive(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id, kept = await drive_with_pdf(api, tmp_path, days=400)
    assert (await api.patch(f"/api/drives/{drive_id}", json={"job_title": "SRE"})).status_code == 200
    await owner.execute("DELETE FROM drives")
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["pdfs"] == 0
    assert kept.exists()


@pytest.mark.damages
async def test_a_pdf_that_was_replaced_goes(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """No route replaces one yet: the event is written by hand."""
    drive_id, replaced = await drive_with_pdf(api, tmp_path, days=3)
    newer = left(tmp_path, "job-descriptions/1-newer.pdf", days=2)
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
    assert there(replaced, newer) == [False, True]


async def test_files_of_exports_that_nobody_needs(
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
        left(tmp_path, export_path(UUID(running), "csv", uuid4()), days=300),
        left(tmp_path, export_path(UUID(running), "csv", uuid4()) + "#1", days=300),
        left(tmp_path, export_path(UUID(finished), "csv", uuid4()), days=0.9),
        left(tmp_path, "temp/somebody-elses.csv", days=300),
    ]
    gone = [
        left(tmp_path, export_path(UUID(finished), "csv", uuid4()), days=1.1),
        left(tmp_path, export_path(UUID(finished), "csv", uuid4()) + "#1", days=1.1),
        left(tmp_path, export_path(UUID(cancelled), "csv", uuid4()), days=1.1),
        left(tmp_path, f"temp/{cancelled}-1.csv", days=1.1),  # by release 0.1
        left(tmp_path, "temp/00000000-0000-7000-8000-000000000000-1.xlsx", days=1.1),  # of a job that expired
    ]
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.orphans.once(after()))["export_files"] == 5
        assert (there(*kept), there(*gone)) == ([True] * 5, [False] * 5)
        await owner.execute("UPDATE es.job SET state = 'queued' WHERE id = $1", running)


@pytest.mark.damages
async def test_a_file_stays_though_the_table_has_lost_its_export(
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


async def test_a_file_that_is_refused_keeps_no_other_back(database_url: str, tmp_path: Path) -> None:
    [first, second] = [left(tmp_path, f"job-descriptions/{number}-a.pdf", days=2) for number in (1, 2)]
    part = left(tmp_path, "job-descriptions/1-a.pdf#1", days=2)
    part.unlink()
    part.mkdir()  # cannot be deleted as a file, and it is deleted first
    async with maintaining(database_url, tmp_path) as maintenance:
        counts = await maintenance.orphans.once(after())
    assert (counts["pdfs"], there(first, second)) == (1, [True, False])


async def marks(owner: "Owner[asyncpg.Record]") -> set[int]:
    """The drives whose notifications have been read by somebody."""
    rows = await owner.fetch("""
        SELECT (e.data ->> 'drive_id')::integer AS id
          FROM notification_reads r JOIN es.event e ON e.position = r.notification_id / 8""")
    return {row["id"] for row in rows}


async def test_read_marks_go_with_the_drive_that_they_were_about(
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
        await owner.execute(backup)  # a damaged table: a rebuild will bring them back
        assert (await maintenance.orphans.once(after()))["read_marks"] == 0
        await owner.execute("INSERT INTO notifications SELECT * FROM lost")


UPKEEP = """
SELECT c.oid::regclass::text AS name, o.option_name AS option, o.option_value AS value
  FROM pg_class c CROSS JOIN pg_options_to_table(c.reloptions) o
 WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'es'::regnamespace)
"""


async def test_the_tables_that_change_most_are_kept_lean(owner: "Owner[asyncpg.Record]") -> None:
    found: dict[str, dict[str, str]] = {}
    for row in await owner.fetch(UPKEEP):
        found.setdefault(row["name"], {})[row["option"]] = row["value"]
    fill_factors = {name: options["fillfactor"] for name, options in found.items() if "fillfactor" in options}
    assert fill_factors == {
        "es.probe": "10", "es.job": "50", "es.outbox": "70", "es.subscription": "50", "idempotency_keys": "80",
        "drives": "70", "evaluations": "70", "exports": "70", "notification_read_marks": "70", "es.stream": "90",
        "students": "90", "users": "90", "attendance": "90",
    }  # fmt: skip
    early = {name for name, options in found.items() if float(options.get("autovacuum_vacuum_scale_factor", 1)) <= 0.05}
    assert early >= {
        "es.job", "es.outbox", "es.stream", "idempotency_keys", "students", "selections", "attendance",
        "notification_reads",
    }  # fmt: skip
    growing = {name for name, options in found.items() if "autovacuum_vacuum_insert_scale_factor" in options}
    assert growing == {"es.event", "registrations", "attendance", "selections"}


async def test_the_process_does_all_of_it(
    system: System, api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    async def asked_for() -> str:
        body = {"kind": "finished_drives"}
        answer = await api.post("/api/exports", json=body, headers={"Idempotency-Key": "k"})
        return str(answer.json()["export_id"])

    expired = await asked_for()
    async with exporting(database_url, tmp_path, kept_s=0.01) as worker:
        await done(worker, expired)
    lasting = await asked(api, kind="finished_drives")
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, lasting["export_id"])
    await owner.execute("UPDATE es.job SET finished_at = finished_at - interval '40 days' WHERE id = $1", expired)
    await owner.execute("UPDATE idempotency_keys SET created_at = created_at - interval '40 days'")
    orphan = left(tmp_path, "job-descriptions/1-never.pdf", days=2)
    fresh = left(tmp_path, "job-descriptions/2-now.pdf", days=0)
    system.start("maintenance", EXPIRY_EVERY_S="0.2", ORPHANS_EVERY_S="0.2", EXPIRED_FILES_KEPT_S="0")

    async def deleted() -> bool:
        left_in = "SELECT (SELECT count(*) FROM es.job WHERE kind = 'export') + (SELECT count(*) FROM idempotency_keys)"
        recorded = await owner.fetchval("SELECT state FROM exports WHERE export_id = $1", expired)
        return recorded == "expired" and await owner.fetchval(left_in) == 1 and not orphan.exists()

    await eventually(deleted)
    async with system.client("maintenance") as client:
        metrics = (await client.get("/metrics")).text
    for what in ("exports", "jobs", "idempotency_keys", "pdfs"):
        assert f'placewire_expired_total{{what="{what}"}} 1.0' in metrics, what
    await asyncio.to_thread(system.processes["maintenance"].stop)
    assert [path.partition("/")[0] for path in stored(tmp_path)] == [lasting["export_id"]]
    assert fresh.exists()
