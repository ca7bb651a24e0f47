"""Exports over HTTP and through the worker of the exporter: requests, content of the file, and access to it."""

import asyncio
import csv
import hashlib
import io
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import openpyxl
import pytest

from chassis.errors import OutcomeUnknown
from chassis.postgres.database import Connection, Database
from contracts.exports import COLUMNS, ExportKind
from contracts.jobs import State
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import finished, posted, register
from tests.support.eventually import eventually
from tests.support.exporting import asked, exporting, recorded, register_many, stored
from tests.support.job_worker import done, until_dead_lettered, waited, wake

Owner = asyncpg.Connection


async def finished_export(
    api: Api, database_url: str, folder: Path, **body: Any
) -> tuple[dict[str, Any], httpx.Response]:
    """Request an export and run it. Return the finished export and its file."""
    export = await asked(api, **body)
    async with exporting(database_url, folder) as worker:
        [job] = await done(worker, export["export_id"])
    assert job.state is State.SUCCEEDED, job.error
    completed = (await api.get(f"/api/exports/{export['export_id']}")).json()
    answer = await api.get(completed["file"])
    assert answer.status_code == 200, answer.text
    return completed, answer


def rows_of(answer: httpx.Response, **options: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""), **options))


def cells_of(answer: httpx.Response) -> list[list[Any]]:
    book = openpyxl.load_workbook(io.BytesIO(answer.content), read_only=True)
    return [list(row) for sheet in book for row in sheet.iter_rows(values_only=True)]


async def test_registrations_become_a_csv(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    ids = await enrol(owner, 50)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 50)
    body = {"kind": "registrations", "drive_id": drive_id, "columns": ["name", "student_id", "cgpa", "registered_at"]}
    asked_for = await asked(api, **body)
    assert (asked_for["state"], asked_for["job"]["state"], asked_for["file"]) == ("requested", "queued", None)
    export, answer = await finished_export(api, database_url, tmp_path, **body)
    assert (export["state"], export["rows"], export["progress"]) == ("completed", 50, {"rows": 50})
    assert hashlib.sha256(answer.content).hexdigest() == export["sha256"]
    assert len(answer.content) == export["size_bytes"] == int(answer.headers["Content-Length"])
    digest = b64encode(bytes.fromhex(export["sha256"])).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{export["file_name"]}"'
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    rows = rows_of(answer)
    assert rows[0] == body["columns"]
    assert [int(row[1]) for row in rows[1:]] == ids
    first = await owner.fetchrow(
        "SELECT cgpa, registered_at FROM registrations JOIN students USING (student_id) LIMIT 1"
    )
    assert first is not None
    moment = first["registered_at"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert rows[1][2:] == [str(first["cgpa"] or ""), moment]


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
@pytest.mark.parametrize("kind", [*ExportKind])
async def test_every_kind_exports_every_column_in_each_format(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, kind: ExportKind, format_: str
) -> None:
    first, second, third = (await enrol(owner, 3))[:3]
    drive_id = await finished(api, [first], [second], company_name="Acme & <Sons>", interview_date="2030-03-05")
    drive = {} if kind is ExportKind.FINISHED_DRIVES else {"drive_id": drive_id}
    export, answer = await finished_export(api, database_url, tmp_path, kind=kind, format=format_, **drive)
    rows = rows_of(answer) if format_ == "csv" else cells_of(answer)
    assert tuple(rows[0]) == COLUMNS[kind]
    records = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert export["rows"] == len(records)
    assert {row["company_name"] for row in records} == {"Acme & <Sons>"}
    if kind is ExportKind.FINISHED_DRIVES:
        [row] = records
        assert [int(row[f"total_{what}"]) for what in ("registered", "present", "absent")] == [2, 1, 1]
        day = "2030-03-05" if format_ == "csv" else datetime(2030, 3, 5)  # noqa: DTZ001
        assert row["interview_date"] == day
        return
    student_ids = [int(row["student_id"]) for row in records]
    assert student_ids == ([first, second, third] if kind is ExportKind.ELIGIBLE_STUDENTS else [first, second])
    if kind is ExportKind.ATTENDANCE:
        assert [row["status"] for row in records] == ["PRESENT", "ABSENT"]
    if kind is ExportKind.ELIGIBLE_STUDENTS:
        assert {row["selected"] for row in records} == ({"false"} if format_ == "csv" else {False})


@pytest.mark.parametrize("kind", [ExportKind.REGISTRATIONS, ExportKind.ELIGIBLE_STUDENTS, ExportKind.ATTENDANCE])
async def test_the_file_of_a_finished_drive_shows_the_marks_at_its_end(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, kind: ExportKind
) -> None:
    first, second, third = (await enrol(owner, 3))[:3]
    finished_id, running_id = await finished(api, [first], [second], min_cgpa="0.1"), await posted(api, min_cgpa="0.1")
    await register(api, running_id, first, second)
    original = await finished_export(api, database_url, tmp_path, kind=kind, drive_id=finished_id)
    for number, student_id in enumerate((first, second, third)):
        changes = {"cgpa": f"0.0{number}", "branch": "NEW", "roll_number": f"N{number}", "active_backlogs": 9}
        assert (await api.patch(f"/api/students/{student_id}", json=changes)).status_code == 200
    newcomer = {"name": "New", "email": "new@college.edu", "roll_number": "N9", "cgpa": "10.00"}
    assert (await api.post("/api/students", json=newcomer)).status_code == 201
    later = await finished_export(api, database_url, tmp_path, kind=kind, drive_id=finished_id)
    assert later[1].content == original[1].content
    if kind is ExportKind.REGISTRATIONS:
        _, now = await finished_export(
            api, database_url, tmp_path, kind=kind, drive_id=running_id, columns=["branch", "cgpa"]
        )
        assert rows_of(now)[1:] == [["NEW", "0.00"], ["NEW", "0.01"]]


async def test_eligible_students_of_a_finished_drive_are_those_at_its_end(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """Accounts and diplomas count as they were at the end of the drive. Later changes do not matter."""
    deactivated, reactivated, diploma, always = await enrol(owner, 4)
    marks = [(diploma, {"twelfth_percent": None, "diploma_percent": "80.00"})]
    marks += [(student, {"twelfth_percent": "80.00"}) for student in (deactivated, reactivated, always)]
    for student, changes in marks:
        assert (await api.patch(f"/api/students/{student}", json=changes)).status_code == 200
    await set_active(api, reactivated, "deactivate")
    finished_id, running_id = await finished(api, [always], [], min_12th="60"), await posted(api, min_12th="60")
    await set_active(api, deactivated, "deactivate")
    await set_active(api, reactivated, "reactivate")
    changes = {"diploma_percent": None}
    assert (await api.patch(f"/api/students/{diploma}", json=changes)).status_code == 200

    async def listed(drive_id: int) -> list[list[str]]:
        body = {"kind": "eligible_students", "drive_id": drive_id, "columns": ["student_id", "diploma_percent"]}
        _, answer = await finished_export(api, database_url, tmp_path, **body)
        return rows_of(answer)[1:]

    assert await listed(finished_id) == [[str(deactivated), ""], [str(diploma), "80.00"], [str(always), ""]]
    assert await listed(running_id) == [[str(reactivated), ""], [str(always), ""]]


async def set_active(api: Api, user_id: int, command: str) -> None:
    """Deactivate or reactivate the account, and wait until the API knows.

    Until then, the API would look for the accounts of its callers, who have none.
    """
    answer = await api.post(f"/api/users/{user_id}/{command}")
    assert answer.status_code == 200, answer.text
    changes = api.app.state.guard.changes

    async def known() -> bool:
        state = changes._changed.get(user_id)
        return changes.listening and state is not None and state.active == (command == "reactivate")

    await eventually(known)


async def test_xlsx_holds_numbers_and_timestamps(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 20)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 20)
    columns = ["student_id", "cgpa", "name", "registered_at", "roll_number"]
    _, answer = await finished_export(
        api, database_url, tmp_path, kind="registrations", format="xlsx", drive_id=drive_id, columns=columns
    )
    rows = cells_of(answer)
    expected = await owner.fetch(
        "SELECT student_id, cgpa, name, registered_at, roll_number FROM registrations JOIN students USING (student_id) "
        "JOIN users ON user_id = student_id ORDER BY registration_id"
    )
    assert rows[0] == columns
    for cells, row in zip(rows[1:], expected, strict=True):
        assert (cells[0], cells[2], cells[4]) == (row["student_id"], row["name"], row["roll_number"])
        assert (None if cells[1] is None else f"{cells[1]:.2f}") == (None if row["cgpa"] is None else str(row["cgpa"]))
        assert abs((cells[3].replace(tzinfo=UTC) - row["registered_at"]).total_seconds()) < 0.01


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
async def test_two_exports_of_the_same_rows_are_identical(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, format_: str
) -> None:
    await enrol(owner, 200)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 200)
    body = {"kind": "registrations", "drive_id": drive_id, "format": format_}
    first, first_file = await finished_export(api, database_url, tmp_path, **body)
    await owner.execute("CREATE TEMPORARY TABLE t AS SELECT FROM users")  # so the next export has a later snapshot
    second, second_file = await finished_export(api, database_url, tmp_path, **body)
    assert first["export_id"] != second["export_id"]
    assert first_file.content == second_file.content
    assert first["sha256"] == second["sha256"]


async def test_a_csv_may_have_a_byte_order_mark_and_another_delimiter(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 3)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 3)
    _, answer = await finished_export(
        api, database_url, tmp_path, kind="registrations", drive_id=drive_id, columns=["name", "branch"],
        byte_order_mark=True, delimiter=";",
    )  # fmt: skip
    assert answer.content.startswith(b"\xef\xbb\xbfname;branch\n")
    assert [len(row) for row in rows_of(answer, delimiter=";")] == [2] * 4


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ({"kind": "attendance", "columns": ["name", "salary"]}, 422, "Unknown columns: salary. attendance has: att"),
        ({"kind": "attendance", "columns": ["name", "name"]}, 422, "name each column once"),
        ({"kind": "attendance", "columns": []}, 422, "columns"),
        ({"kind": "attendance", "drive_id": None}, 422, "is required"),
        ({"kind": "finished_drives"}, 422, "has no meaning"),
        ({"kind": "registrations", "drive_id": 2**31 - 1}, 404, "Drive not found"),
        ({"kind": "registrations", "delimiter": "\n"}, 422, "delimiter"),
        ({"kind": "marriages"}, 422, "kind"),
        ({"kind": "registrations", "rows": 5}, 422, "rows"),
    ],
)
async def test_an_invalid_request_is_refused(api: Api, body: dict[str, Any], status: int, expected: str) -> None:
    drive_id = await posted(api)
    answer = await api.post("/api/exports", json={"drive_id": drive_id, **body})
    assert answer.status_code == status, answer.text
    assert expected in answer.json()["message"]
    assert (await api.get("/api/exports")).json() == []


async def test_a_repeated_idempotency_key_requests_one_export(api: Api) -> None:
    drive_id = await posted(api)
    path, key = f"/api/registrations/{drive_id}/export", {"Idempotency-Key": "once"}
    first = await api.post(path, "STAFF", 7, headers=key)
    repeated = await api.post(path, "STAFF", 7, headers=key)
    assert first.status_code == repeated.status_code == 202
    assert first.json() == repeated.json()
    assert (await api.post(path, "STAFF", 7, headers=key, json={"format": "xlsx"})).status_code == 422
    assert first.json()["columns"] == list(COLUMNS[ExportKind.REGISTRATIONS])
    assert len((await api.get("/api/exports")).json()) == 1


async def test_staff_can_export_only_published_drives(api: Api) -> None:
    drive_id = (await api.post("/api/drives", json={"company_name": "A", "job_title": "B"})).json()["drive_id"]
    assert (await api.post(f"/api/registrations/{drive_id}/export", "STAFF", 7)).status_code == 404
    assert (await api.post(f"/api/registrations/{drive_id}/export", "COORDINATOR", 7)).status_code == 202


async def test_requesters_coordinators_and_heads_may_download_the_file(
    api: Api, database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = (await api.post(f"/api/registrations/{drive_id}/export", "STAFF", 7)).json()
    path = f"/api/exports/{export['export_id']}"
    early = await api.get(f"{path}/file", "STAFF", 7)
    assert (early.status_code, early.json()["message"]) == (409, "This export is not finished yet.")
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, export["export_id"])
    for role, user_id, status in (("STAFF", 7, 200), ("STAFF", 8, 404), ("COORDINATOR", 9, 200), ("HEAD", 10, 200)):
        assert (await api.get(path, role, user_id)).status_code == status
        assert (await api.get(f"{path}/file", role, user_id)).status_code == status
    assert (await api.get("/api/exports", "STAFF", 8)).json() == []
    assert len((await api.get("/api/exports", "COORDINATOR", 9)).json()) == 1
    assert (await api.get(path, "STUDENT", 7)).status_code == 403


async def test_exports_are_listed_in_pages(api: Api) -> None:
    drive_id = await posted(api)
    ids = [(await asked(api, kind="registrations", drive_id=drive_id))["export_id"] for _ in range(3)]
    first = (await api.get("/api/exports?limit=2")).json()
    assert [export["export_id"] for export in first] == [ids[2], ids[1]]
    rest = (await api.get(f"/api/exports?limit=2&before={ids[1]}")).json()
    assert [export["export_id"] for export in rest] == [ids[0]]


async def test_ranges_and_conditions_of_a_download(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 30)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 30)
    export, full = await finished_export(api, database_url, tmp_path, kind="registrations", drive_id=drive_id)
    size, etag = export["size_bytes"], f'"{export["sha256"]}"'

    async def part(range_: str, **headers: str) -> httpx.Response:
        return await api.get(export["file"], headers={"Range": range_, **headers})

    for range_header, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size + 50}", 5, size),
        (f"bytes=-{size + 50}", 0, size),
    ):
        answer = await part(range_header)
        assert (answer.status_code, answer.content) == (206, full.content[start:end]), range_header
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert answer.headers["Content-Length"] == str(end - start)
        assert answer.headers["Repr-Digest"] == full.headers["Repr-Digest"]
    for range_header in (f"bytes={size}-", "bytes=-0"):
        answer = await part(range_header)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    for range_header in ("bytes=0-1,5-6", "rows=1-2", "bytes=9-1", "bytes=-"):
        answer = await part(range_header)
        assert (answer.status_code, answer.content) == (200, full.content), range_header
    assert (await part("bytes=0-9", **{"If-Range": etag})).status_code == 206
    assert (await part("bytes=0-9", **{"If-Range": '"older"'})).status_code == 200
    for known in (etag, f'"older", {etag}', "*"):
        answer = await part("bytes=0-9", **{"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert (await part("bytes=0-9", **{"If-None-Match": '"older"'})).status_code == 206
    head = await api.client.head(export["file"], headers=dict(full.request.headers))
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(size))


async def test_students_cannot_use_exports(api: Api, database_url: str, tmp_path: Path) -> None:
    drive_id = await posted(api)
    # User 7 requests the export as staff, and is a student afterwards.
    export = (await api.post(f"/api/registrations/{drive_id}/export", "STAFF", 7)).json()
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, export["export_id"])
    path = f"/api/exports/{export['export_id']}"
    for answer in (
        await api.post("/api/exports", "STUDENT", 7, json={"kind": "registrations", "drive_id": drive_id}),
        await api.post(f"/api/registrations/{drive_id}/export", "STUDENT", 7),
        await api.get("/api/exports", "STUDENT", 7),
        await api.get(path, "STUDENT", 7),
        await api.get(f"{path}/file", "STUDENT", 7),
        await api.post(f"/api/jobs/{export['export_id']}/cancel", "STUDENT", 7),
    ):
        assert answer.status_code == 403, answer.request.url


async def test_an_expired_file_gets_410(api: Api, database_url: str, tmp_path: Path) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path, kept_s=0.01) as worker:
        await done(worker, export["export_id"])
    await asyncio.sleep(0.02)
    answer = await api.get(f"/api/exports/{export['export_id']}/file")
    assert (answer.status_code, answer.json()["message"]) == (410, "This file has expired. Ask for a new one.")
    listed = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (listed["state"], listed["file"]) == ("expired", None)


async def test_only_requesters_and_heads_may_cancel_an_export(api: Api) -> None:
    drive_id = await posted(api)
    export = (await api.post(f"/api/registrations/{drive_id}/export", "STAFF", 7)).json()
    path = f"/api/jobs/{export['export_id']}/cancel"
    assert (await api.post(path, "STAFF", 8)).status_code == 404
    assert (await api.post(path, "COORDINATOR", 9)).status_code == 403
    cancelled = await api.post(path, "STAFF", 7)
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await api.get(f"/api/exports/{export['export_id']}")).json()["state"] == "cancelled"
    assert (await api.post(path, "HEAD", 10)).status_code == 409
    assert (await api.get(f"/api/exports/{export['export_id']}/file")).status_code == 409
    [evaluation] = [job for job in (await api.get("/api/jobs")).json() if job["kind"] == "eligibility"]
    refused = await api.post(f"/api/jobs/{evaluation['id']}/cancel")
    assert (refused.status_code, refused.json()["message"]) == (409, "Only exports can be cancelled.")


async def test_a_cancelled_job_is_never_started(api: Api, database_url: str, tmp_path: Path) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    assert (await api.post(f"/api/jobs/{export['export_id']}/cancel")).status_code == 200
    async with exporting(database_url, tmp_path) as worker:
        [job] = await done(worker, export["export_id"])
    assert (job.state, job.attempts, stored(tmp_path)) == (State.CANCELLED, 0, [])


async def test_cancelling_stops_the_copy_and_leaves_no_file(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    copying = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-worker' AND query LIKE 'COPY%' AND "

    async def copy_waits() -> int:
        return int(await owner.fetchval(copying + "wait_event_type = 'Lock'"))

    async def stopped() -> bool:
        return not await owner.fetchval(copying + "state = 'active'") and not stored(tmp_path) and not worker.busy

    holder = await asyncpg.connect(database_url)
    async with exporting(database_url, tmp_path) as worker:
        async with holder.transaction():
            await holder.execute("LOCK TABLE registrations")  # COPY waits for this lock
            wake(worker, [UUID(export["export_id"])])
            await eventually(copy_waits)
            assert stored(tmp_path)
            answer = await api.post(f"/api/jobs/{export['export_id']}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
            await eventually(stopped)
        await holder.close()
        # The connection can be used again.
        second_export = await asked(api, kind="registrations", drive_id=drive_id)
        [job] = await done(worker, second_export["export_id"])
    assert job.state is State.SUCCEEDED


async def test_the_file_is_deleted_when_its_event_cannot_be_recorded(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    # The worker writes the file, and then cannot record its event.
    await owner.execute("REVOKE INSERT ON es.event FROM placewire_exporter")
    async with exporting(database_url, tmp_path, lease_s=1) as worker:
        wake(worker, [UUID(export["export_id"])])

        async def file_is_deleted() -> bool:
            claimed = await owner.fetchval("SELECT attempts FROM es.job WHERE kind = 'export'")
            return bool(claimed) and worker.busy == 0 and not stored(tmp_path)

        await eventually(file_is_deleted)
        await owner.execute("GRANT INSERT ON es.event TO placewire_exporter")
        job = await waited(worker, UUID(export["export_id"]), timeout_s=20)
    assert job is not None
    assert (job.state, job.attempts) == (State.SUCCEEDED, 2)
    assert stored(tmp_path) == [await recorded(owner, export["export_id"])]


async def test_the_file_is_kept_when_the_answer_to_the_commit_was_lost(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await asked(api, kind="finished_drives")
    transaction = Database.transaction
    lost: list[str] = []

    @asynccontextmanager
    async def committed_and_lost(self: Database, **options: Any) -> AsyncIterator[Connection]:
        async with transaction(self, **options) as connection:
            yield connection
        if not options and not lost:  # only the transaction that records the result
            lost.append("the connection")
            raise OutcomeUnknown(lost[0])

    monkeypatch.setattr(Database, "transaction", committed_and_lost)
    async with exporting(database_url, tmp_path) as worker:
        [job] = await done(worker, export["export_id"])

        async def worker_is_idle() -> bool:
            return worker.busy == 0

        await eventually(worker_is_idle)
    assert (job.state, lost, len(stored(tmp_path))) == (State.SUCCEEDED, ["the connection"], 1)
    assert (await api.get(f"/api/exports/{export['export_id']}/file")).status_code == 200
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE type = 'placewire.export.completed.v1'") == 1


async def test_the_failure_of_the_storage_is_shown_to_users(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path) as worker:
        # A file in place of the folder: writing fails.
        (tmp_path / "uploads" / "temp").write_text("no folder")
        job = await until_dead_lettered(worker, export["export_id"])
    assert (job.error, job.dead_lettered) == ("The storage does not take this file. Tried 2 times.", True)
    shown = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (shown["state"], shown["reason"]) == ("failed", job.error)
    assert await owner.fetchval(
        "SELECT count(*) FROM es.event WHERE type = 'placewire.export.failed.v1'"
    ) == await owner.fetchval("SELECT count(*) FROM es.outbox WHERE topic = 'placewire.exporter.dead-letter'")


async def test_a_redriven_export_that_succeeds_shows_no_reason(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path) as worker:
        (tmp_path / "uploads" / "temp").write_text("no folder")
        await until_dead_lettered(worker, export["export_id"])
        (tmp_path / "uploads" / "temp").unlink()
        await owner.execute(
            "UPDATE es.job SET state = 'queued', dead_lettered = false, finished_at = NULL, error = NULL, attempts = 0"
            " WHERE kind = 'export'"
        )
        job = await waited(worker, UUID(export["export_id"]), timeout_s=20)
    assert job is not None
    assert job.state is State.SUCCEEDED
    shown = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (shown["state"], shown["reason"]) == ("completed", None)
