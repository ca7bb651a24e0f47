"""Exports over HTTP and through the exporter's runner: what is asked for, what the file holds, who gets it."""

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
from tests.support.job_worker import dead, done, waited, wake

Owner = asyncpg.Connection


async def made(api: Api, database_url: str, folder: Path, **body: Any) -> tuple[dict[str, Any], httpx.Response]:
    """The finished export, and its file."""
    export = await asked(api, **body)
    async with exporting(database_url, folder) as worker:
        [job] = await done(worker, export["export_id"])
    assert job.state is State.SUCCEEDED, job.error
    found = (await api.get(f"/api/exports/{export['export_id']}")).json()
    answer = await api.get(found["file"])
    assert answer.status_code == 200, answer.text
    return found, answer


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
    wanted = {"kind": "registrations", "drive_id": drive_id, "columns": ["name", "student_id", "cgpa", "registered_at"]}
    asked_for = await asked(api, **wanted)
    assert (asked_for["state"], asked_for["job"]["state"], asked_for["file"]) == ("requested", "queued", None)
    export, answer = await made(api, database_url, tmp_path, **wanted)
    assert (export["state"], export["rows"], export["progress"]) == ("completed", 50, {"rows": 50})
    assert hashlib.sha256(answer.content).hexdigest() == export["sha256"]
    assert len(answer.content) == export["size_bytes"] == int(answer.headers["Content-Length"])
    digest = b64encode(bytes.fromhex(export["sha256"])).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{export["file_name"]}"'
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    rows = rows_of(answer)
    assert rows[0] == wanted["columns"]
    assert [int(row[1]) for row in rows[1:]] == ids
    first = await owner.fetchrow(
        "SELECT cgpa, registered_at FROM registrations JOIN students USING (student_id) LIMIT 1"
    )
    assert first is not None
    moment = first["registered_at"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert rows[1][2:] == [str(first["cgpa"] or ""), moment]


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
@pytest.mark.parametrize("kind", [*ExportKind])
async def test_every_kind_and_column(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, kind: ExportKind, format_: str
) -> None:
    first, second, third = (await enrol(owner, 3))[:3]
    drive_id = await finished(api, [first], [second], company_name="Acme & <Sons>", interview_date="2030-03-05")
    drive = {} if kind is ExportKind.FINISHED_DRIVES else {"drive_id": drive_id}
    export, answer = await made(api, database_url, tmp_path, kind=kind, format=format_, **drive)
    rows = rows_of(answer) if format_ == "csv" else cells_of(answer)
    assert tuple(rows[0]) == COLUMNS[kind]
    found = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert export["rows"] == len(found)
    assert {row["company_name"] for row in found} == {"Acme & <Sons>"}
    if kind is ExportKind.FINISHED_DRIVES:
        [row] = found
        assert [int(row[f"total_{what}"]) for what in ("registered", "present", "absent")] == [2, 1, 1]
        day = "2030-03-05" if format_ == "csv" else datetime(2030, 3, 5)  # noqa: DTZ001
        assert row["interview_date"] == day
        return
    of = [int(row["student_id"]) for row in found]
    assert of == ([first, second, third] if kind is ExportKind.ELIGIBLE_STUDENTS else [first, second])
    if kind is ExportKind.ATTENDANCE:
        assert [row["status"] for row in found] == ["PRESENT", "ABSENT"]
    if kind is ExportKind.ELIGIBLE_STUDENTS:
        assert {row["selected"] for row in found} == ({"false"} if format_ == "csv" else {False})


@pytest.mark.parametrize("kind", [ExportKind.REGISTRATIONS, ExportKind.ELIGIBLE_STUDENTS, ExportKind.ATTENDANCE])
async def test_a_finished_drives_file_shows_the_marks_of_its_time(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, kind: ExportKind
) -> None:
    first, second, third = (await enrol(owner, 3))[:3]
    over, running = await finished(api, [first], [second], min_cgpa="0.1"), await posted(api, min_cgpa="0.1")
    await register(api, running, first, second)
    before = await made(api, database_url, tmp_path, kind=kind, drive_id=over)
    for number, student_id in enumerate((first, second, third)):
        changes = {"cgpa": f"0.0{number}", "branch": "NEW", "roll_number": f"N{number}", "active_backlogs": 9}
        assert (await api.patch(f"/api/students/{student_id}", json=changes)).status_code == 200
    newcomer = {"name": "New", "email": "new@college.edu", "roll_number": "N9", "cgpa": "10.00"}
    assert (await api.post("/api/students", json=newcomer)).status_code == 201
    after = await made(api, database_url, tmp_path, kind=kind, drive_id=over)
    assert after[1].content == before[1].content
    if kind is ExportKind.REGISTRATIONS:
        _, now = await made(api, database_url, tmp_path, kind=kind, drive_id=running, columns=["branch", "cgpa"])
        assert rows_of(now)[1:] == [["NEW", "0.00"], ["NEW", "0.01"]]


async def test_a_finished_drives_eligible_students_are_those_of_its_time(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """Whose account was active then, with a diploma for 12th then; not whose is, or has one, now."""
    left, came_back, diploma, always = await enrol(owner, 4)
    marks = [(diploma, {"twelfth_percent": None, "diploma_percent": "80.00"})]
    marks += [(student, {"twelfth_percent": "80.00"}) for student in (left, came_back, always)]
    for student, changes in marks:
        assert (await api.patch(f"/api/students/{student}", json=changes)).status_code == 200
    await set_active(api, came_back, "deactivate")
    over, running = await finished(api, [always], [], min_12th="60"), await posted(api, min_12th="60")
    await set_active(api, left, "deactivate")
    await set_active(api, came_back, "reactivate")
    changes = {"diploma_percent": None}
    assert (await api.patch(f"/api/students/{diploma}", json=changes)).status_code == 200

    async def listed(drive_id: int) -> list[list[str]]:
        wanted = {"kind": "eligible_students", "drive_id": drive_id, "columns": ["student_id", "diploma_percent"]}
        _, answer = await made(api, database_url, tmp_path, **wanted)
        return rows_of(answer)[1:]

    assert await listed(over) == [[str(left), ""], [str(diploma), "80.00"], [str(always), ""]]
    assert await listed(running) == [[str(came_back), ""], [str(always), ""]]


async def set_active(api: Api, user_id: int, command: str) -> None:
    """Deactivate or reactivate, and wait until the API knows: until then it looks up callers, who are in no table."""
    answer = await api.post(f"/api/users/{user_id}/{command}")
    assert answer.status_code == 200, answer.text
    changes = api.app.state.guard.changes

    async def known() -> bool:
        state = changes._changed.get(user_id)
        return changes.listening and state is not None and state.active == (command == "reactivate")

    await eventually(known)


async def test_xlsx_holds_numbers_and_moments(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 20)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 20)
    columns = ["student_id", "cgpa", "name", "registered_at", "roll_number"]
    _, answer = await made(
        api, database_url, tmp_path, kind="registrations", format="xlsx", drive_id=drive_id, columns=columns
    )
    rows = cells_of(answer)
    expected = await owner.fetch(
        "SELECT student_id, cgpa, name, registered_at, roll_number FROM registrations JOIN students USING (student_id) "
        "JOIN users ON user_id = student_id ORDER BY registration_id"
    )
    assert rows[0] == columns
    for got, row in zip(rows[1:], expected, strict=True):
        assert (got[0], got[2], got[4]) == (row["student_id"], row["name"], row["roll_number"])
        assert (None if got[1] is None else f"{got[1]:.2f}") == (None if row["cgpa"] is None else str(row["cgpa"]))
        assert abs((got[3].replace(tzinfo=UTC) - row["registered_at"]).total_seconds()) < 0.01


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
async def test_two_files_of_the_same_rows_are_the_same_bytes(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, format_: str
) -> None:
    await enrol(owner, 200)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 200)
    wanted = {"kind": "registrations", "drive_id": drive_id, "format": format_}
    one, first = await made(api, database_url, tmp_path, **wanted)
    await owner.execute("CREATE TEMPORARY TABLE t AS SELECT FROM users")  # another transaction, another moment
    other, second = await made(api, database_url, tmp_path, **wanted)
    assert one["export_id"] != other["export_id"]
    assert first.content == second.content
    assert one["sha256"] == other["sha256"]


async def test_byte_order_mark_and_delimiter(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    await enrol(owner, 3)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 3)
    _, answer = await made(
        api, database_url, tmp_path, kind="registrations", drive_id=drive_id, columns=["name", "branch"],
        byte_order_mark=True, delimiter=";",
    )  # fmt: skip
    assert answer.content.startswith(b"\xef\xbb\xbfname;branch\n")
    assert [len(row) for row in rows_of(answer, delimiter=";")] == [2] * 4


@pytest.mark.parametrize(
    ("body", "status", "said"),
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
async def test_what_makes_no_sense_is_refused(api: Api, body: dict[str, Any], status: int, said: str) -> None:
    drive_id = await posted(api)
    answer = await api.post("/api/exports", json={"drive_id": drive_id, **body})
    assert answer.status_code == status, answer.text
    assert said in answer.json()["message"]
    assert (await api.get("/api/exports")).json() == []


async def test_the_same_key_asks_once(api: Api) -> None:
    drive_id = await posted(api)
    path, key = f"/api/registrations/{drive_id}/export", {"Idempotency-Key": "once"}
    one = await api.post(path, "STAFF", 7, headers=key)
    again = await api.post(path, "STAFF", 7, headers=key)
    assert one.status_code == again.status_code == 202
    assert one.json() == again.json()
    assert (await api.post(path, "STAFF", 7, headers=key, json={"format": "xlsx"})).status_code == 422
    assert one.json()["columns"] == list(COLUMNS[ExportKind.REGISTRATIONS])
    assert len((await api.get("/api/exports")).json()) == 1


async def test_staff_see_published_drives_only(api: Api) -> None:
    drive_id = (await api.post("/api/drives", json={"company_name": "A", "job_title": "B"})).json()["drive_id"]
    assert (await api.post(f"/api/registrations/{drive_id}/export", "STAFF", 7)).status_code == 404
    assert (await api.post(f"/api/registrations/{drive_id}/export", "COORDINATOR", 7)).status_code == 202


async def test_the_file_is_its_requesters_and_the_heads(api: Api, database_url: str, tmp_path: Path) -> None:
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


async def test_pages_of_the_list(api: Api) -> None:
    drive_id = await posted(api)
    ids = [(await asked(api, kind="registrations", drive_id=drive_id))["export_id"] for _ in range(3)]
    first = (await api.get("/api/exports?limit=2")).json()
    assert [export["export_id"] for export in first] == [ids[2], ids[1]]
    rest = (await api.get(f"/api/exports?limit=2&before={ids[1]}")).json()
    assert [export["export_id"] for export in rest] == [ids[0]]


async def test_parts_of_the_file(api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path) -> None:
    await enrol(owner, 30)
    drive_id = await posted(api)
    await register_many(owner, drive_id, 30)
    export, whole = await made(api, database_url, tmp_path, kind="registrations", drive_id=drive_id)
    size, etag = export["size_bytes"], f'"{export["sha256"]}"'

    async def part(range_: str, **headers: str) -> httpx.Response:
        return await api.get(export["file"], headers={"Range": range_, **headers})

    for asked_for, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size + 50}", 5, size),
        (f"bytes=-{size + 50}", 0, size),
    ):
        answer = await part(asked_for)
        assert (answer.status_code, answer.content) == (206, whole.content[start:end]), asked_for
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert answer.headers["Content-Length"] == str(end - start)
        assert answer.headers["Repr-Digest"] == whole.headers["Repr-Digest"]
    for asked_for in (f"bytes={size}-", "bytes=-0"):
        answer = await part(asked_for)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    for asked_for in ("bytes=0-1,5-6", "rows=1-2", "bytes=9-1", "bytes=-"):
        answer = await part(asked_for)
        assert (answer.status_code, answer.content) == (200, whole.content), asked_for
    assert (await part("bytes=0-9", **{"If-Range": etag})).status_code == 206
    assert (await part("bytes=0-9", **{"If-Range": '"older"'})).status_code == 200
    for known in (etag, f'"older", {etag}', "*"):
        answer = await part("bytes=0-9", **{"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert (await part("bytes=0-9", **{"If-None-Match": '"older"'})).status_code == 206
    head = await api.client.head(export["file"], headers=dict(whole.request.headers))
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(size))


async def test_students_have_no_exports(api: Api, database_url: str, tmp_path: Path) -> None:
    drive_id = await posted(api)
    # Also for the owner of a file who has become a student.
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


async def test_an_expired_file_is_gone(api: Api, database_url: str, tmp_path: Path) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path, kept_s=0.01) as worker:
        await done(worker, export["export_id"])
    await asyncio.sleep(0.02)
    answer = await api.get(f"/api/exports/{export['export_id']}/file")
    assert (answer.status_code, answer.json()["message"]) == (410, "This file has expired. Ask for a new one.")
    found = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (found["state"], found["file"]) == ("expired", None)


async def test_who_may_cancel(api: Api) -> None:
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


async def test_a_cancelled_job_is_never_begun(api: Api, database_url: str, tmp_path: Path) -> None:
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

    async def waits() -> int:
        return int(await owner.fetchval(copying + "wait_event_type = 'Lock'"))

    async def stopped() -> bool:
        return not await owner.fetchval(copying + "state = 'active'") and not stored(tmp_path) and not worker.busy

    holder = await asyncpg.connect(database_url)
    async with exporting(database_url, tmp_path) as worker:
        async with holder.transaction():
            await holder.execute("LOCK TABLE registrations")  # the COPY waits here for as long as it takes
            wake(worker, [UUID(export["export_id"])])
            await eventually(waits)
            assert stored(tmp_path)
            answer = await api.post(f"/api/jobs/{export['export_id']}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
            await eventually(stopped)
        await holder.close()
        again = await asked(api, kind="registrations", drive_id=drive_id)  # the connection is fit for use
        [job] = await done(worker, again["export_id"])
    assert job.state is State.SUCCEEDED


async def test_a_file_whose_effect_fails_is_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    # The file is there, and then its event is refused.
    await owner.execute("REVOKE INSERT ON es.event FROM placewire_exporter")
    async with exporting(database_url, tmp_path, lease_s=1) as worker:
        wake(worker, [UUID(export["export_id"])])

        async def given_back() -> bool:
            claimed = await owner.fetchval("SELECT attempts FROM es.job WHERE kind = 'export'")
            return bool(claimed) and worker.busy == 0 and not stored(tmp_path)

        await eventually(given_back)
        await owner.execute("GRANT INSERT ON es.event TO placewire_exporter")
        job = await waited(worker, UUID(export["export_id"]), timeout_s=20)
    assert job is not None
    assert (job.state, job.attempts) == (State.SUCCEEDED, 2)
    assert stored(tmp_path) == [await recorded(owner, export["export_id"])]


async def test_a_file_whose_commit_was_not_heard_of_stays(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await asked(api, kind="finished_drives")
    transaction = Database.transaction
    lost: list[str] = []

    @asynccontextmanager
    async def committed_and_lost(self: Database, **options: Any) -> AsyncIterator[Connection]:
        async with transaction(self, **options) as connection:
            yield connection
        if not options and not lost:  # the effect's, and no other's
            lost.append("the connection")
            raise OutcomeUnknown(lost[0])

    monkeypatch.setattr(Database, "transaction", committed_and_lost)
    async with exporting(database_url, tmp_path) as worker:
        [job] = await done(worker, export["export_id"])

        async def at_rest() -> bool:
            return worker.busy == 0

        await eventually(at_rest)
    assert (job.state, lost, len(stored(tmp_path))) == (State.SUCCEEDED, ["the connection"], 1)
    assert (await api.get(f"/api/exports/{export['export_id']}/file")).status_code == 200
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE type = 'placewire.export.completed.v1'") == 1


async def test_a_refusing_storage_is_reported_to_users(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path) as worker:
        (tmp_path / "uploads" / "temp").write_text("no folder")  # so that nothing can be written below it
        job = await dead(worker, export["export_id"])
    assert (job.error, job.dead) == ("The storage does not take this file. Tried 2 times.", True)
    found = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (found["state"], found["reason"]) == ("failed", job.error)
    assert await owner.fetchval(
        "SELECT count(*) FROM es.event WHERE type = 'placewire.export.failed.v1'"
    ) == await owner.fetchval("SELECT count(*) FROM es.outbox WHERE topic = 'placewire.exporter.dead-letter'")


async def test_a_redriven_export_that_succeeds_has_no_reason_left(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    drive_id = await posted(api)
    export = await asked(api, kind="registrations", drive_id=drive_id)
    async with exporting(database_url, tmp_path) as worker:
        (tmp_path / "uploads" / "temp").write_text("no folder")
        await dead(worker, export["export_id"])
        (tmp_path / "uploads" / "temp").unlink()
        await owner.execute(
            "UPDATE es.job SET state = 'queued', dead = false, finished_at = NULL, error = NULL, attempts = 0"
            " WHERE kind = 'export'"
        )
        job = await waited(worker, UUID(export["export_id"]), timeout_s=20)
    assert job is not None
    assert job.state is State.SUCCEEDED
    found = (await api.get(f"/api/exports/{export['export_id']}")).json()
    assert (found["state"], found["reason"]) == ("completed", None)
