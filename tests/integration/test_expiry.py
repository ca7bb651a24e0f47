"""What has a time and is over it is deleted: exports, idempotency keys, jobs. What is in use never is."""

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
from tests.support.job_worker import dead, done, waited, wake, working
from tests.support.maintenance_app import after, maintaining
from tests.support.system import as_role

Owner = asyncpg.Connection
HOUR = 3600.0
GRACE = 600.0
KEPT = {"days": 30.1}
UNWATCHED = ProgressCallbacks(began=lambda _: None, projected=lambda _: None)


async def exports(api: Api, database_url: str, folder: Path, count: int = 1) -> list[str]:
    """The ids of finished exports whose files can be downloaded for an hour."""
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
    sent = await owner.fetchval("SELECT count(*) FROM es.outbox")
    async with maintaining(database_url, tmp_path) as maintenance:
        for seconds in (0, HOUR - 5, HOUR + GRACE - 5):  # expired by then, but for downloads that have begun
            assert (await maintenance.due.once(after(seconds=seconds)))["exports"] == 0
        assert len(stored(tmp_path)) == 1
        assert (await api.get(f"/api/exports/{export_id}/file")).status_code == 200
        assert (await maintenance.due.once(after(seconds=HOUR + GRACE + 1)))["exports"] == 1
        assert (await maintenance.due.once(after(seconds=HOUR + GRACE + 1)))["exports"] == 0
    assert stored(tmp_path) == []
    assert await types(owner, export_id) == ["requested", "completed", "expired"]
    assert await owner.fetchval("SELECT count(*) FROM es.outbox") == sent + 1
    found = (await api.get(f"/api/exports/{export_id}")).json()
    assert (found["state"], found["file"], found["rows"]) == ("expired", None, 0)
    answer = await api.get(f"/api/exports/{export_id}/file")
    assert (answer.status_code, answer.json()["message"]) == (410, "This file has expired. Ask for a new one.")


async def test_exports_without_a_file_are_left_alone(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    queued, cancelled = [(await asked(api, kind="finished_drives"))["export_id"] for _ in range(2)]
    assert (await api.post(f"/api/jobs/{cancelled}/cancel")).status_code == 200
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=400)))["exports"] == 0
    assert [await types(owner, id_) for id_ in (queued, cancelled)] == [["requested"], ["requested", "cancelled"]]


async def test_the_next_round_recovers_from_a_crash_between_file_and_event(
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
        # By the API's clock the file is still to be had.
        assert (await api.get(f"/api/exports/{export_id}/file")).status_code == 410
        await owner.execute("DROP TRIGGER crash ON es.event")
        assert (await maintenance.due.once(after(days=1)))["exports"] == 1
    assert await types(owner, export_id) == ["requested", "completed", "expired"]


async def test_two_replicas_at_once_record_it_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    ids = await exports(api, database_url, tmp_path, 12)
    async with maintaining(database_url, tmp_path) as one, maintaining(database_url, tmp_path) as other:
        counts = await asyncio.gather(*(each.due.once(after(days=1)) for each in (one, other)))
    assert sum(count["exports"] for count in counts) == 12
    assert [await types(owner, id_) for id_ in ids] == [["requested", "completed", "expired"]] * 12
    assert stored(tmp_path) == []


async def test_a_storage_that_refuses_one_file_gives_up_the_others(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page: the first is refused, and none behind it waits for it."""
    monkeypatch.setattr(due, "BATCH", 2)
    ids = await exports(api, database_url, tmp_path, 5)
    first = await owner.fetchrow("SELECT export_id::text AS id, path FROM exports ORDER BY expires_at LIMIT 1")
    assert first is not None
    refused = tmp_path / "uploads" / first["path"]
    refused.unlink()
    refused.mkdir()
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=1)))["exports"] == 4
        assert await types(owner, first["id"]) == ["requested", "completed"]
        assert (await maintenance.due.once(after(days=1)))["exports"] == 0
        refused.rmdir()
        assert (await maintenance.due.once(after(days=1)))["exports"] == 1
    assert {await owner.fetchval("SELECT state FROM exports WHERE export_id = $1", UUID(id_)) for id_ in ids} == {
        "expired"
    }


@pytest.mark.damages  # an export is completed twice, which no worker would do
async def test_an_export_completed_anew_while_it_expires_keeps_its_new_file(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    [export_id] = await exports(api, database_url, tmp_path)
    async with api.database.connection() as connection:
        recorded = (await event_store.read(connection, f"export-{export_id}"))[1].event
    assert isinstance(recorded, ExportCompleted)
    anew = recorded.model_copy(
        update={"path": export_path(UUID(export_id), "csv", uuid4()), "expires_at": after(days=9)}
    )
    worker = Database(as_role(database_url, "placewire_exporter"), pool_size=1, application_name="test-worker")
    async with maintaining(database_url, tmp_path) as maintenance:
        async with worker.transaction() as connection:
            await maintenance.storage.write(anew.path, b"x")
            cause = Cause(source="test", correlation_id=uuid4())
            await event_store.append(connection, f"export-{export_id}", [anew], cause, expected_version=None)
            # What is committed has expired; who would record it finds the stream in somebody else's hands.
            assert (await maintenance.due.once(after(days=1)))["exports"] == 0
        assert (await maintenance.due.once(after(days=1)))["exports"] == 0
        assert stored(tmp_path) == [anew.path.removeprefix("temp/")]
        assert (await maintenance.due.once(after(days=10)))["exports"] == 1
    await worker.close()
    assert stored(tmp_path) == []
    assert await types(owner, export_id) == ["requested", "completed", "completed", "expired"]


async def test_a_download_that_has_begun_ends_whole(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 5000)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 5000)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path, kept_s=HOUR) as worker:
        await done(worker, export["export_id"])
    found = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert found["size_bytes"] > 500_000
    path = await owner.fetchval("SELECT path FROM exports")
    chunks = await Storage((tmp_path / "uploads").as_uri()).stream(path, 0, found["size_bytes"])
    size = len(await anext(chunks))
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=1)))["exports"] == 1
    assert size < found["size_bytes"]
    assert size + sum([len(chunk) async for chunk in chunks]) == found["size_bytes"]


async def test_a_file_that_is_gone_before_its_time_is_gone(api: Api, database_url: str, tmp_path: Path) -> None:
    [export_id] = await exports(api, database_url, tmp_path)
    (tmp_path / "uploads" / "temp" / stored(tmp_path)[0]).unlink()
    answer = await api.get(f"/api/exports/{export_id}/file")
    assert (answer.status_code, answer.json()["message"]) == (410, "This file has expired. Ask for a new one.")


async def test_a_key_expires_and_does_not_do_its_work_again(
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
        again = await create(company)
        assert again.status_code == 422
        assert "used long ago" in again.json()["message"]
    assert await owner.fetchval("SELECT count(*) FROM drives") == 1
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_key_stays_while_its_job_has_not_ended_or_its_command_not_committed(
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


async def test_keys_and_jobs_go_in_batches(owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path) -> None:
    await owner.execute("""
        INSERT INTO idempotency_keys (user_id, route, key, fingerprint, committed, created_at)
        SELECT 1, 'POST /api/drives', i::text, '', 'null', now() - make_interval(days => i % 10)
          FROM generate_series(1, 5000) i""")
    await owner.execute("""
        INSERT INTO es.job (id, service, kind, subject, state, finished_at)
        SELECT gen_random_uuid(), 'maintenance', 'refresh', 'refresh-' || i, 'succeeded', now() - interval '31 days'
          FROM generate_series(1, 2500) i""")
    limit = await owner.fetchval("SELECT count(*) FROM idempotency_keys WHERE created_at < now() - interval '6.9 days'")
    async with maintaining(database_url, tmp_path) as one, maintaining(database_url, tmp_path) as other:
        counts = await asyncio.gather(*(each.due.once(after()) for each in (one, other)))
    assert sum(count["idempotency_keys"] for count in counts) == limit == 1500
    assert sum(count["jobs"] for count in counts) == 2500
    assert await owner.fetchval(
        "SELECT min(created_at) > now() - interval '7 days' FROM idempotency_keys WHERE NOT expired"
    )


async def test_jobs_that_ended_long_ago_go_and_no_other(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """The fixture verifies afterwards: an expired job is no loss."""
    succeeded, cancelled = [(await asked(api, kind="finished_drives"))["export_id"] for _ in range(2)]
    assert (await api.post(f"/api/jobs/{cancelled}/cancel")).status_code == 200
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, succeeded)
    (tmp_path / "uploads" / "temp").rename(tmp_path / "elsewhere")
    (tmp_path / "uploads" / "temp").write_text("no folder")  # nothing can be stored below it
    failed = (await asked(api, kind="finished_drives"))["export_id"]
    async with exporting(database_url, tmp_path) as worker:
        await dead(worker, failed)
    (tmp_path / "uploads" / "temp").unlink()
    queued = (await asked(api, kind="finished_drives"))["export_id"]
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=29.9)))["jobs"] == 0
        assert (await maintenance.due.once(after(**KEPT)))["jobs"] == 2
        assert (await maintenance.due.once(after(days=4000)))["jobs"] == 0
    left = {str(row["id"]) for row in await owner.fetch("SELECT id FROM es.job")}
    assert left == {failed, queued}
    assert (await api.get(f"/api/exports/{succeeded}")).json()["rows"] == 0
    assert (await api.get(f"/api/jobs/{succeeded}")).status_code == 404
    async with exporting(database_url, tmp_path) as worker:  # Kafka brings its event again
        assert await waited(worker, UUID(succeeded), timeout_s=0) is None
        wake(worker, [UUID(succeeded)])
    shutil.rmtree(tmp_path / "elsewhere")


async def test_a_redriven_job_stays(
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
async def test_a_lost_job_is_found_though_older_ones_have_expired(
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
    [check] = [found for found in (await verify(database_url, UNWATCHED, limit=3)).checks if found.wrong]
    assert check.name == "work asked for"
    assert [fault for fault in check.faults if str(lost) in fault]


async def test_one_replica_goes_round_and_another_takes_its_place(
    owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    leader = """SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                 WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'placewire-expiry'
                   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    async with (
        maintaining(database_url, tmp_path, every_s=0.1) as one,
        maintaining(database_url, tmp_path, every_s=0.1) as other,
    ):
        tasks = [asyncio.create_task(each.due.run()) for each in (one, other)]
        try:
            first = await eventually(lambda: owner.fetchval(leader))
            await owner.execute("SELECT pg_terminate_backend($1)", first)

            async def another() -> bool:
                pid = await owner.fetchval(leader)
                return pid is not None and pid != first

            await eventually(another)
            assert len(await owner.fetch(leader)) == 1
            await owner.execute("""
                INSERT INTO idempotency_keys (user_id, route, key, fingerprint, committed, created_at)
                VALUES (1, 'r', 'k', '', 'null', now() - interval '8 days')""")
            await eventually(lambda: owner.fetchval("SELECT count(*) = 0 FROM idempotency_keys WHERE NOT expired"))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
