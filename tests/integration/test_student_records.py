"""Records of single students: enrolment, lists and corrections."""

import asyncio
from typing import Any

import asyncpg
import pytest

from chassis.eventstore import event_store
from tests.conftest import Api

ASHA = {
    "name": "Asha K",
    "email": "asha@college.edu",
    "roll_number": "21CS001",
    "branch": "CSE",
    "batch_year": 2026,
    "tenth_percent": "91.5",
    "cgpa": 8.25,
}


async def enrolled(api: Api, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/api/students", json=ASHA | changes)
    assert answer.status_code == 201, answer.text
    student: dict[str, Any] = answer.json()
    return student


async def test_an_enrolled_student_is_returned_and_listed(api: Api) -> None:
    student = await enrolled(api)
    assert student == {
        "student_id": student["student_id"],
        "name": "Asha K",
        "email": "asha@college.edu",
        "department": None,
        "roll_number": "21CS001",
        "branch": "CSE",
        "batch_year": 2026,
        "tenth_percent": "91.50",
        "twelfth_percent": None,
        "diploma_percent": None,
        "cgpa": "8.25",
        "active_backlogs": 0,
        "active": True,
    }
    assert (await api.get("/api/students", role="STAFF")).json() == [student]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"roll_number": "other"}, "e-mail address asha@college.edu already"),
        ({"email": "other@college.edu"}, "roll number 21CS001 already"),
    ],
)
async def test_the_error_names_an_address_or_roll_number_in_use(
    api: Api, changes: dict[str, str], expected: str
) -> None:
    await enrolled(api)
    answer = await api.post("/api/students", json=ASHA | changes)
    assert answer.status_code == 409
    assert expected in answer.json()["message"]
    assert len((await api.get("/api/students")).json()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"cgpa": 10.5}, {"cgpa": "NaN"}, {"tenth_percent": 101}, {"tenth_percent": 7.555}, {"twelfth_percent": "abc"},
        {"active_backlogs": -1}, {"email": "nobody"}, {"email": "a\0@b"}, {"name": " "}, {"name": "a\0b"},
        {"roll_number": ""}, {"password": "short"}, {"batch_year": 26},
    ],
)  # fmt: skip
async def test_the_error_names_the_wrong_field(api: Api, wrong: dict[str, Any]) -> None:
    answer = await api.post("/api/students", json=ASHA | wrong)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json()["message"]


async def test_a_student_can_sign_in_only_with_a_password(api: Api) -> None:
    await enrolled(api)
    await enrolled(api, email="ravi@college.edu", roll_number="2", password="password123")
    no_password = {"email": "asha@college.edu", "password": "password123"}
    assert (await api.client.post("/api/auth/login", json=no_password)).status_code == 401
    answer = await api.client.post("/api/auth/login", json={"email": "ravi@college.edu", "password": "password123"})
    assert answer.json()["user"]["role"] == "STUDENT"


async def test_a_repeated_idempotency_key_enrols_once(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(*(api.post("/api/students", json=ASHA, headers=headers) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len((await api.get("/api/students")).json()) == 1


async def test_pages_hold_every_student_once(api: Api) -> None:
    ids = [(await enrolled(api, email=f"{n}@college.edu", roll_number=str(n)))["student_id"] for n in range(5)]
    ids_of_pages, after = [], 0
    while page := (await api.get("/api/students", params={"limit": 2, "after": after})).json():
        ids_of_pages += [student["student_id"] for student in page]
        after = ids_of_pages[-1]
    assert ids_of_pages == ids


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"search": "sha"}, ["Asha"]), ({"search": "RAVI@"}, ["Ravi"]), ({"search": "ec00"}, ["Ravi"]),
        ({"search": "%"}, ["100%"]), ({"search": "_"}, []), ({"branch": "ECE"}, ["Ravi"]),
        ({"branch": "CSE", "search": "college"}, ["Asha", "100%"]), ({"search": "nobody"}, []),
    ],
)  # fmt: skip
async def test_a_search_takes_wildcards_literally(api: Api, query: dict[str, str], names: list[str]) -> None:
    await enrolled(api, name="Asha")
    await enrolled(api, name="Ravi", email="ravi@college.edu", roll_number="21EC002", branch="ECE")
    await enrolled(api, name="100%", email="x@college.edu", roll_number="3")
    listed = (await api.get("/api/students", role="COORDINATOR", params=query)).json()
    assert [student["name"] for student in listed] == names


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"after": -1}, {"search": ""}, {"search": "\0"}])
async def test_a_wrong_query_is_reported(api: Api, query: dict[str, Any]) -> None:
    assert (await api.get("/api/students", params=query)).status_code == 422


async def test_marks_are_corrected_and_recorded(api: Api) -> None:
    student = await enrolled(api)
    path = f"/api/students/{student['student_id']}"
    answer = await api.patch(path, role="COORDINATOR", json={"cgpa": "9.1", "tenth_percent": None, "branch": "CSE"})
    assert answer.status_code == 200
    assert answer.json() == student | {"cgpa": "9.10", "tenth_percent": None}
    async with api.database.connection() as connection:
        recorded = await event_store.read(connection, f"student-{student['student_id']}")
    assert recorded[-1].data["changed"] == ["tenth_percent", "cgpa"]


async def test_unchanged_marks_record_no_event(api: Api) -> None:
    student = await enrolled(api)
    answer = await api.patch(f"/api/students/{student['student_id']}", json={"cgpa": "8.25"})
    assert (answer.status_code, answer.json()) == (200, student)
    async with api.database.connection() as connection:
        assert len(await event_store.read(connection, f"student-{student['student_id']}")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"nickname": "x"},
        {"name": " "},
        {"roll_number": None},
        {"active_backlogs": None},
        {"cgpa": 11},
        {"branch": "a\0"},
    ],
)
async def test_a_wrong_correction_is_refused(api: Api, body: dict[str, Any]) -> None:
    student = await enrolled(api)
    assert (await api.patch(f"/api/students/{student['student_id']}", json=body)).status_code == 422


async def test_a_correction_of_an_unknown_student_is_not_found(api: Api) -> None:
    assert (await api.patch("/api/students/12345", json={"cgpa": 7})).status_code == 404


async def test_a_roll_number_of_another_student_is_refused(api: Api) -> None:
    await enrolled(api)
    student = await enrolled(api, email="ravi@college.edu", roll_number="2")
    answer = await api.patch(f"/api/students/{student['student_id']}", json={"roll_number": "21CS001"})
    assert answer.status_code == 409
    assert "21CS001" in answer.json()["message"]


async def test_concurrent_corrections_are_all_recorded_or_refused(
    api: Api, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    path = f"/api/students/{(await enrolled(api))['student_id']}"
    answers = await asyncio.gather(*(api.patch(path, json={"active_backlogs": n}) for n in range(1, 11)))
    succeeded = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    recorded = "SELECT count(*) FROM es.event WHERE type = 'placewire.student.record-revised.v1'"
    assert await owner.fetchval(recorded) == len(succeeded)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("post", "/api/students", {"HEAD"}),
        ("get", "/api/students", {"HEAD", "COORDINATOR", "STAFF"}),
        ("patch", "/api/students/1", {"HEAD", "COORDINATOR"}),
        ("post", "/api/students/import", {"HEAD"}),
    ],
)
async def test_each_route_allows_only_its_roles(api: Api, method: str, path: str, allowed: set[str]) -> None:
    for role in ("STUDENT", "STAFF", "COORDINATOR", "HEAD"):
        answer = await getattr(api, method)(path, role=role)
        assert (answer.status_code == 403) == (role not in allowed), role
