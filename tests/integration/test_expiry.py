"""Expired exports, idempotency keys and jobs are deleted, unless they are still in use."""

import asyncio
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Database
from chassis.storage import Storage
from cli.replay.verification import ProgressCallbacks, verify
from contracts.exports import ExportCompleted
from contracts.files import export_path
from services.maintenance.expiry import due
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import posted
from tests.support.eventually import eventually
from tests.support.exporting import asked, exporting, register_many, stored
from tests.support.job_worker import done, until_dead_lettered, waited, wake, working
from tests.support.maintenance_app import after, maintaining
from tests.support.system import as_role

Owner = asyncpg.Connection
HOUR = 3600.0
GRACE = 600.0
KEPT = {"days": 30.1}
UNWATCHED = ProgressCallbacks(began=lambda _: None, projected=lambda _: None)


async def exports(api: Api, database_url: str, folder: Path, count: int = 1) -> list[str]:
    """Create exports whose files expire after an hour. Return their ids."""
    ids = [(await asked(api, kind="finished_drives"))["export_id"] for _ in range(count)]
    async with exporting(database_url, folder, kept_s=HOUR) as worker:
        await done(worker, *ids)
    return ids


async def types(owner: "Owner[asyncpg.Record]", export_id: str) -> list[str]:
    rows = await owner.fetch("SELECT type FROM es.event WHERE stream_id = $1 ORDER BY version", f"export-{export_id}")
    return [row["type"].split(".")[2] for row in rows]


async def test_an_expired_export_loses_its_file_and_keeps_its_record(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    [export_id] = await exports(api, database_url, tmp_path)
    outbox_rows = await owner.fetchval("SELECT count(*) FROM es.outbox")
    async with maintaining(database_url, tmp_path) as maintenance:
        # In the last case, the file has expired, but downloads that have begun may still end.
        for seconds in (0, HOUR - 5, HOUR + GRACE - 5):
            assert (await maintenance.due.once(after(seconds=seconds)))["exports"] == 0
        assert len(stored(tmp_path)) == 1
        assert (await api.get(f"/api/exports/{export_id}/file")).status_code == 200
        assert (await maintenance.due.once(after(seconds=HOUR + GRACE + 1)))["exports"] == 1
        assert (await maintenance.due.once(after(seconds=HOUR + GRACE + 1)))["exports"] == 0
    assert stored(tmp_path) == []
    assert await types(owner, export_id) == ["requested", "completed", "expired"]
    assert await owner.fetchval("SELECT count(*) FROM es.outbox") == outbox_rows + 1
    export = (await api.get(f"/api/exports/{export_id}")).json()
    assert (export["state"], export["file"], export["rows"]) == ("expired", None, 0)
    answer = await api.get(f"/api/exports/{export_id}/file")
    assert (answer.status_code, answer.json()["message"]) == (410, "This file has expired. Ask for a new one.")


async def test_exports_without_a_file_do_not_expire(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    queued, cancelled = [(await asked(api, kind="finished_drives"))["export_id"] for _ in range(2)]
    assert (await api.post(f"/api/jobs/{cancelled}/cancel")).status_code == 200
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=400)))["exports"] == 0
    assert [await types(owner, id_) for id_ in (queued, cancelled)] == [["requested"], ["requested", "cancelled"]]


async def test_the_next_cleanup_recovers_from_a_crash_between_file_and_event(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    [export_id] = await exports(api, database_url, tmp_path)
    await owner.execute("""
        CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'the power is gone' USING ERRCODE = '57P01'; END $$;
        CREATE TRIGGER crash BEFORE INSERT ON es.event FOR EACH ROW WHEN (NEW.type LIKE '%expired%')
            EXECUTE FUNCTION crash()""")
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=1)))["exports"] == 0
        assert (stored(tmp_path), await types(owner, export_id)) == ([], ["requested", "completed"])
        # By the clock of the API, the file has not expired. It is deleted all the same.
        assert (await api.get(f"/api/exports/{export_id}/file")).status_code == 410
        await owner.execute("DROP TRIGGER crash ON es.event")
        assert (await maintenance.due.once(after(days=1)))["exports"] == 1
    assert await types(owner, export_id) == ["requested", "completed", "expired"]


async def test_concurrent_replicas_record_each_expiry_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    ids = await exports(api, database_url, tmp_path, 12)
    async with maintaining(database_url, tmp_path) as first, maintaining(database_url, tmp_path) as second:
        counts = await asyncio.gather(*(replica.due.once(after(days=1)) for replica in (first, second)))
    assert sum(count["exports"] for count in counts) == 12
    assert [await types(owner, id_) for id_ in ids] == [["requested", "completed", "expired"]] * 12
    assert stored(tmp_path) == []


async def test_a_file_that_cannot_be_deleted_does_not_block_the_others(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file of the first page is refused, and the files after it are still deleted."""
    monkeypatch.setattr(due, "BATCH", 2)
    ids = await exports(api, database_url, tmp_path, 5)
    first = await owner.fetchrow("SELECT export_id::text AS id, path FROM exports ORDER BY expires_at LIMIT 1")
    assert first is not None
    undeletable = tmp_path / "uploads" / first["path"]
    undeletable.unlink()
    undeletable.mkdir()
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=1)))["exports"] == 4
        assert await types(owner, first["id"]) == ["requested", "completed"]
        assert (await maintenance.due.once(after(days=1)))["exports"] == 0
        undeletable.rmdir()
        assert (await maintenance.due.once(after(days=1)))["exports"] == 1
    assert {await owner.fetchval("SELECT state FROM exports WHERE export_id = $1", UUID(id_)) for id_ in ids} == {
        "expired"
    }


@pytest.mark.damages  # the export is completed twice; no worker does this
async def test_an_export_that_is_completed_again_while_it_expires_keeps_its_new_file(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    [export_id] = await exports(api, database_url, tmp_path)
    async with api.database.connection() as connection:
        recorded = (await event_store.read(connection, f"export-{export_id}"))[1].event
    assert isinstance(recorded, ExportCompleted)
    second_completion = recorded.model_copy(
        update={"path": export_path(UUID(export_id), "csv", uuid4()), "expires_at": after(days=9)}
    )
    worker = Database(as_role(database_url, "placewire_exporter"), pool_size=1, application_name="test-worker")
    async with maintaining(database_url, tmp_path) as maintenance:
        async with worker.transaction() as connection:
            await maintenance.storage.write(second_completion.path, b"x")
            cause = Cause(source="test", correlation_id=uuid4())
            await event_store.append(
                connection, f"export-{export_id}", [second_completion], cause, expected_version=None
            )
            # By the committed rows, the export has expired. But the open transaction holds the stream.
            assert (await maintenance.due.once(after(days=1)))["exports"] == 0
        assert (await maintenance.due.once(after(days=1)))["exports"] == 0
        assert stored(tmp_path) == [second_completion.path.removeprefix("temp/")]
        assert (await maintenance.due.once(after(days=10)))["exports"] == 1
    await worker.close()
    assert stored(tmp_path) == []
    assert await types(owner, export_id) == ["requested", "completed", "completed", "expired"]


async def test_a_started_download_ends_completely(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 5000)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 5000)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path, kept_s=HOUR) as worker:
        await done(worker, export["export_id"])
    export_answer = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert export_answer["size_bytes"] > 500_000
    path = await owner.fetchval("SELECT path FROM exports")
    chunks = await Storage((tmp_path / "uploads").as_uri()).stream(path, 0, export_answer["size_bytes"])
    size = len(await anext(chunks))
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=1)))["exports"] == 1
    assert size < export_answer["size_bytes"]
    assert size + sum([len(chunk) async for chunk in chunks]) == export_answer["size_bytes"]


async def test_a_file_that_is_missing_before_its_expiry_gets_410(api: Api, database_url: str, tmp_path: Path) -> None:
    [export_id] = await exports(api, database_url, tmp_path)
    (tmp_path / "uploads" / "temp" / stored(tmp_path)[0]).unlink()
    answer = await api.get(f"/api/exports/{export_id}/file")
    assert (answer.status_code, answer.json()["message"]) == (410, "This file has expired. Ask for a new one.")


async def test_a_request_with_an_expired_key_is_refused(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"company_name": "Acme", "job_title": "SDE"}

    async def create(company: str = "Acme") -> Any:
        return await api.post("/api/drives", json=body | {"company_name": company}, headers=headers)

    first = await create()
    assert first.status_code == 201
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=6.9)))["idempotency_keys"] == 0
        assert (await create()).json() == first.json()
        assert (await maintenance.due.once(after(days=7.1)))["idempotency_keys"] == 1
    for company in ("Acme", "Another"):
        refused = await create(company)
        assert refused.status_code == 422
        assert "used long ago" in refused.json()["message"]
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_key_is_kept_until_its_command_is_committed_and_its_job_has_ended(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    answer = await api.post("/api/exports", json={"kind": "finished_drives"}, headers={"Idempotency-Key": "k"})
    async with maintaining(database_url, tmp_path) as maintenance:
        in_flight = owner.transaction()
        await in_flight.start()
        await owner.execute("""
            INSERT INTO idempotency_keys (user_id, route, key, fingerprint, committed, created_at)
            VALUES (1, 'POST /api/drives', 'k', '', 'null', 'now'::timestamptz - interval '9 days')""")
        assert (await maintenance.due.once(after(days=300)))["idempotency_keys"] == 0
        await in_flight.rollback()
        async with exporting(database_url, tmp_path) as worker:
            await done(worker, answer.json()["export_id"])
        assert (await maintenance.due.once(after(days=7.1)))["idempotency_keys"] == 1


async def test_keys_and_jobs_are_deleted_in_batches(
    owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await owner.execute("""
        INSERT INTO idempotency_keys (user_id, route, key, fingerprint, committed, created_at)
        SELECT 1, 'POST /api/drives', i::text, '', 'null', now() - make_interval(days => i % 10)
          FROM generate_series(1, 5000) i""")
    await owner.execute("""
        INSERT INTO es.job (id, service, kind, subject, state, finished_at)
        SELECT gen_random_uuid(), 'maintenance', 'refresh', 'refresh-' || i, 'succeeded', now() - interval '31 days'
          FROM generate_series(1, 2500) i""")
    limit = await owner.fetchval("SELECT count(*) FROM idempotency_keys WHERE created_at < now() - interval '6.9 days'")
    async with maintaining(database_url, tmp_path) as first, maintaining(database_url, tmp_path) as second:
        counts = await asyncio.gather(*(replica.due.once(after()) for replica in (first, second)))
    assert sum(count["idempotency_keys"] for count in counts) == limit == 1500
    assert sum(count["jobs"] for count in counts) == 2500
    assert await owner.fetchval(
        "SELECT min(created_at) > now() - interval '7 days' FROM idempotency_keys WHERE NOT expired"
    )


async def test_only_jobs_that_ended_long_ago_are_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """Afterwards, the fixture runs verify, which must not report the deleted jobs as lost."""
    succeeded, cancelled = [(await asked(api, kind="finished_drives"))["export_id"] for _ in range(2)]
    assert (await api.post(f"/api/jobs/{cancelled}/cancel")).status_code == 200
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, succeeded)
    (tmp_path / "uploads" / "temp").rename(tmp_path / "elsewhere")
    (tmp_path / "uploads" / "temp").write_text("no folder")  # a file in place of the folder: storing fails
    failed = (await asked(api, kind="finished_drives"))["export_id"]
    async with exporting(database_url, tmp_path) as worker:
        await until_dead_lettered(worker, failed)
    (tmp_path / "uploads" / "temp").unlink()
    queued = (await asked(api, kind="finished_drives"))["export_id"]
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=29.9)))["jobs"] == 0
        assert (await maintenance.due.once(after(**KEPT)))["jobs"] == 2
        assert (await maintenance.due.once(after(days=4000)))["jobs"] == 0
    remaining = {str(row["id"]) for row in await owner.fetch("SELECT id FROM es.job")}
    assert remaining == {failed, queued}
    assert (await api.get(f"/api/exports/{succeeded}")).json()["rows"] == 0
    assert (await api.get(f"/api/jobs/{succeeded}")).status_code == 404
    async with exporting(database_url, tmp_path) as worker:  # as if Kafka delivered the event again
        assert await waited(worker, UUID(succeeded), timeout_s=0) is None
        wake(worker, [UUID(succeeded)])
    shutil.rmtree(tmp_path / "elsewhere")


async def test_a_job_that_is_being_redriven_is_not_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    export_id = (await asked(api, kind="finished_drives"))["export_id"]
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, export_id)
        async with maintaining(database_url, tmp_path) as maintenance:
            redriving = owner.transaction()
            await redriving.start()
            await owner.execute("UPDATE es.job SET finished_at = NULL, state = 'queued'")
            assert (await maintenance.due.once(after(**KEPT)))["jobs"] == 0
            await redriving.rollback()
            assert (await maintenance.due.once(after(**KEPT)))["jobs"] == 1


@pytest.mark.damages
async def test_verify_reports_a_lost_job_even_if_older_jobs_have_expired(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 3)
    await posted(api)
    old = await owner.fetchval("SELECT id FROM es.job")
    async with working(database_url) as worker, maintaining(database_url, tmp_path) as maintenance:
        await done(worker, old)
        assert (await maintenance.due.once(after(**KEPT)))["jobs"] == 1
        assert not (await verify(database_url, UNWATCHED, limit=3)).differences
        await posted(api)
        lost = await owner.fetchval("DELETE FROM es.job RETURNING id")
    [check] = [finding for finding in (await verify(database_url, UNWATCHED, limit=3)).checks if finding.wrong]
    assert check.name == "work asked for"
    assert [fault for fault in check.faults if str(lost) in fault]


async def test_one_replica_runs_cleanup_and_another_takes_over(
    owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    leader = """SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                 WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'placewire-expiry'
                   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    async with (
        maintaining(database_url, tmp_path, every_s=0.1) as first_replica,
        maintaining(database_url, tmp_path, every_s=0.1) as second_replica,
    ):
        tasks = [asyncio.create_task(replica.due.run()) for replica in (first_replica, second_replica)]
        try:
            first_pid = await eventually(lambda: owner.fetchval(leader))
            await owner.execute("SELECT pg_terminate_backend($1)", first_pid)

            async def another_leads() -> bool:
                pid = await owner.fetchval(leader)
                return pid is not None and pid != first_pid

            await eventually(another_leads)
            assert len(await owner.fetch(leader)) == 1
            await owner.execute("""
                INSERT INTO idempotency_keys (user_id, route, key, fingerprint, committed, created_at)
                VALUES (1, 'r', 'k', '', 'null', now() - interval '8 days')""")
            await eventually(lambda: owner.fetchval("SELECT count(*) = 0 FROM idempotency_keys WHERE NOT expired"))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
