"""Attendance: marking, publishing, no marks after publishing, and concurrent marks and publishing."""

import asyncio
import csv
import io
import re
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, fresh_ids
from contracts.attendance import AttendanceMarked, Presence
from services.api.attendance import handlers
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import finished, mark, posted, register, stop

Owner = asyncpg.Connection


async def attending(api: Api, *student_ids: int) -> int:
    drive_id = await posted(api)
    await register(api, drive_id, *student_ids)
    await stop(api, drive_id)
    return drive_id


async def mark_answer(api: Api, drive_id: Any, body: Any, **options: Any) -> tuple[int, str]:
    answer = await api.post(f"/api/attendance/{drive_id}/mark", "COORDINATOR", json=body, **options)
    return answer.status_code, answer.json().get("message", "")


async def publish(api: Api, drive_id: Any) -> tuple[int, str]:
    answer = await api.post(f"/api/attendance/{drive_id}/publish", "COORDINATOR")
    return answer.status_code, answer.json()["message"]


async def test_a_mark_has_every_field_and_replaces_the_former_mark(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [one, two] = await enrol(owner, 2)
    drive_id = await attending(api, one, two)
    [first] = await mark(api, drive_id, **{f"s{two}": "ABSENT"})
    assert first == {"attendance_id": 1, "drive_id": drive_id, "student_id": two, "status": "ABSENT"}
    [second] = await mark(api, drive_id, **{f"s{two}": "present"})
    assert second == first | {"status": "PRESENT"}
    for role in ("COORDINATOR", "HEAD"):
        assert (await api.get(f"/api/attendance/{drive_id}/list", role)).json() == [second | {"name": "Student 2"}]
    async with api.database.connection() as connection:
        recorded = await event_store.read(connection, f"attendance-{drive_id}-{two}")
    fields = {"attendance_id": 1, "drive_id": drive_id, "student_id": two}
    assert [record.event for record in recorded] == [
        AttendanceMarked(**fields, status=Presence.ABSENT),
        AttendanceMarked(**fields, status=Presence.PRESENT),
    ]
    assert await owner.fetchval("SELECT count(*) FROM es.outbox WHERE key LIKE 'attendance-%' AND lane = 1") == 2


async def test_repeating_a_mark_records_no_event(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [student] = await enrol(owner, 1)
    drive_id = await attending(api, student)
    answers = [(await mark(api, drive_id, **{f"s{student}": "PRESENT"}))[0] for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE stream_id LIKE 'attendance-%'") == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Invalid student id"),
        ({"student_id": "x", "status": "PRESENT"}, "Invalid student id"),
        ({"student_id": 0, "status": "PRESENT"}, "Invalid student id"),
        ({"student_id": True, "status": "PRESENT"}, "Invalid student id"),
        ({"student_id": 1.5, "status": "PRESENT"}, "Invalid student id"),
        ({"student_id": 2**31, "status": "PRESENT"}, "Invalid student id"),
        ({"student_id": 1}, "Invalid attendance status"),
        ({"student_id": 1, "status": "LATE"}, "Invalid attendance status"),
        ({"student_id": "1", "status": None}, "Invalid attendance status"),
        ([1], "The body must be a JSON object."),
    ],
)
async def test_the_error_names_the_wrong_field(api: Api, body: Any, message: str) -> None:
    assert await mark_answer(api, 1, body) == (400, message)


@pytest.mark.parametrize("drive_id", ["x", "0", "-1", "1.0", "2147483648", "%D9%A5"])
async def test_an_invalid_drive_id_is_refused(api: Api, drive_id: str) -> None:
    assert await mark_answer(api, drive_id, {"student_id": 1, "status": "PRESENT"}) == (400, "Invalid drive id")
    assert await publish(api, drive_id) == (400, "Invalid drive id")


async def test_only_registered_students_can_be_marked_and_only_between_stop_and_publication(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    [one, two] = await enrol(owner, 2)
    present = {"student_id": one, "status": "PRESENT"}
    assert await mark_answer(api, 99, present) == (404, "Drive not found")
    assert await publish(api, 99) == (404, "Drive not found")
    drive_id = await posted(api)
    await register(api, drive_id, one)
    assert (await mark_answer(api, drive_id, present))[0] == 409
    status, message = await publish(api, drive_id)
    assert (status, "this drive is posted" in message) == (409, True)
    await stop(api, drive_id)
    assert await mark_answer(api, drive_id, present | {"student_id": 777_777}) == (404, "Student not found")
    assert await mark_answer(api, drive_id, present | {"student_id": two}) == (
        409, "This student is not registered for the drive.",
    )  # fmt: skip
    no_marks = (400, "Mark attendance for at least one student before publishing.")
    assert await publish(api, drive_id) == no_marks
    assert (await mark_answer(api, drive_id, present))[0] == 200
    assert await publish(api, drive_id) == (200, "Attendance published")
    locked = (400, "Attendance already published")
    assert await mark_answer(api, drive_id, present | {"status": "ABSENT"}) == locked
    assert await mark_answer(api, drive_id, present) == locked
    assert await publish(api, drive_id) == locked
    assert await owner.fetchval("SELECT count(*) FROM es.stream WHERE version = 0") == 0


async def test_publishing_finishes_the_drive_in_one_transaction(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    ids = await enrol(owner, 4)
    drive_id = await attending(api, *ids)
    await mark(api, drive_id, **{f"s{ids[0]}": "PRESENT", f"s{ids[1]}": "ABSENT", f"s{ids[2]}": "PRESENT"})
    assert await publish(api, drive_id) == (200, "Attendance published")
    drive = (await api.get(f"/api/drives/{drive_id}")).json()
    assert (drive["status"], drive["attendance_published"]) == ("finished", True)
    [event] = await owner.fetch("SELECT data, tx FROM es.event WHERE type = 'placewire.drive.attendance-published.v1'")
    assert event["data"] == f'{{"absent": 1, "present": 2, "drive_id": {drive_id}, "registered": 4}}'
    rows = await owner.fetch("SELECT total_registered, total_present, total_absent FROM finished_drives")
    assert [tuple(row) for row in rows] == [(4, 2, 1)]
    again = await api.post(f"/api/drives/{drive_id}/publish", "COORDINATOR")
    assert again.status_code == 409


async def test_the_csv_file_escapes_formulas_and_may_have_a_byte_order_mark(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    await api.post(
        "/api/students", json={"name": '=cmd|"x"', "email": "a@b.edu", "roll_number": "1", "active_backlogs": 0}
    )
    student = await owner.fetchval("SELECT student_id FROM students")
    drive_id = await attending(api, student)
    await mark(api, drive_id, **{f"s{student}": "PRESENT"})
    answer = await api.get(f"/api/attendance/{drive_id}/download-csv", "COORDINATOR")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    name = rf'attachment; filename="attendance-{drive_id}-\d{{13}}\.csv"'
    assert re.fullmatch(name, answer.headers["content-disposition"])
    assert answer.text.startswith("student_id,name,status\n")
    with_bom = await api.get(f"/api/attendance/{drive_id}/download-csv", "COORDINATOR", params={"bom": "true"})
    assert with_bom.content == b"\xef\xbb\xbf" + answer.content
    assert list(csv.reader(io.StringIO(answer.text, newline="")))[1:] == [[str(student), '\'=cmd|"x"', "PRESENT"]]
    assert (await api.get("/api/attendance/99/download-csv")).json()["message"] == "Drive not found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "1/mark", {"COORDINATOR"}),
        ("POST", "1/publish", {"COORDINATOR"}),
        ("GET", "1/list", {"COORDINATOR", "HEAD"}),
        ("GET", "1/download-csv", {"COORDINATOR", "HEAD"}),
    ],
)
async def test_each_route_allows_only_its_roles(api: Api, method: str, path: str, allowed: set[str]) -> None:
    url = f"/api/attendance/{path}"
    for role in ("STUDENT", "STAFF", "COORDINATOR", "HEAD"):
        answer = await (api.get(url, role) if method == "GET" else api.post(url, role, json={}))
        assert (answer.status_code != 403) is (role in allowed), (role, answer.text)
    assert (await api.client.request(method, url)).json()["message"] == "No token"


async def test_a_repeated_idempotency_key_marks_once(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [student] = await enrol(owner, 1)
    drive_id = await attending(api, student)
    key = {"Idempotency-Key": "one"}
    present, absent = ({"student_id": student, "status": status} for status in ("PRESENT", "ABSENT"))
    assert (await mark_answer(api, drive_id, present, headers=key))[0] == 200
    assert (await mark_answer(api, drive_id, absent))[0] == 200
    assert (await mark_answer(api, drive_id, present, headers=key))[0] == 200
    assert (await mark_answer(api, drive_id, absent, headers=key))[0] == 422
    [row] = (await api.get(f"/api/attendance/{drive_id}/list")).json()
    assert row["status"] == "ABSENT"


async def test_concurrent_first_marks_of_a_student_share_one_id(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [student] = await enrol(owner, 1)
    drive_id = await attending(api, student)
    statuses = ["PRESENT", "ABSENT"] * 10
    path = f"/api/attendance/{drive_id}/mark"
    answers = await asyncio.gather(
        *(api.post(path, "COORDINATOR", json={"student_id": student, "status": status}) for status in statuses)
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["attendance_id"] for answer in answers}) == 1
    last = "SELECT data ->> 'status' FROM es.event WHERE stream_id LIKE 'attendance-%' ORDER BY version DESC LIMIT 1"
    assert await owner.fetchval(last) == await owner.fetchval("SELECT status FROM attendance")


async def test_a_concurrent_publication_counts_every_accepted_mark(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """The publication counts every accepted mark, and no mark is accepted after it."""
    ids = await enrol(owner, 60)
    drive_id = await attending(api, *ids)
    await mark(api, drive_id, **{f"s{ids[0]}": "PRESENT"})

    async def mark_or_publish(student_id: int) -> int:
        if student_id == ids[30]:
            return (await publish(api, drive_id))[0]
        return (await mark_answer(api, drive_id, {"student_id": student_id, "status": "PRESENT"}))[0]

    codes = await asyncio.gather(*map(mark_or_publish, ids[1:]))
    assert set(codes) <= {200, 400}
    counted = await owner.fetchval("SELECT total_present FROM finished_drives")
    assert counted == codes.count(200) == await owner.fetchval("SELECT count(*) FROM attendance")
    order = "SELECT type FROM es.event WHERE type ~ 'attendance' ORDER BY position DESC LIMIT 1"
    assert await owner.fetchval(order) == "placewire.drive.attendance-published.v1"


async def test_a_mark_comes_after_its_drive_in_the_log_even_from_an_older_transaction(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    [student] = await enrol(owner, 1)
    cause = Cause(source="test", correlation_id=uuid4())
    async with api.database.transaction() as older:
        await older.execute("SELECT pg_current_xact_id()")
        drive_id = await attending(api, student)
        await handlers.mark(older, drive_id, student, Presence.PRESENT, cause, fresh_ids)
    order = "SELECT stream_id FROM es.event ORDER BY tx DESC, position DESC LIMIT 1"
    assert await owner.fetchval(order) == f"attendance-{drive_id}-{student}"


async def test_deleting_a_drive_deletes_its_registrations_and_attendance(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    ids = await enrol(owner, 2)
    drive_id = await finished(api, ids[:1], ids[1:])
    assert (await api.delete(f"/api/drives/{drive_id}")).status_code == 200
    for table in ("registrations", "attendance", "finished_drives"):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert (await api.get("/api/finished-drives")).json() == []
