"""Answers about a past moment agree with what the read tables held at that moment, whatever happened later."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from chassis.eventstore.event_store import Cause, fresh_ids
from contracts.users import Role
from services.api.history import sql
from services.api.students import handlers
from services.api.students.decider import ReviseRecord
from tests.conftest import Api
from tests.integration.test_reevaluation import drive, enrolled, queued, revised, selected
from tests.support import accounts
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import stop
from tests.support.job_worker import done, working

pytestmark = pytest.mark.usefixtures("no_polls")

Owner = asyncpg.Connection

LAST = "SELECT max(recorded_at) FROM es.event WHERE stream_id = $1"
EVALUATIONS = """
SELECT recorded_at, data ->> 'drive_id' AS drive_id FROM es.event
 WHERE type = 'placewire.eligibility.evaluated.v1' ORDER BY position
"""


async def moment(owner: "Owner[asyncpg.Record]") -> str:
    """Return the time of the database, later than every recorded event and earlier than any future one."""
    now: datetime = await owner.fetchval("SELECT clock_timestamp() FROM pg_sleep(0.002)")
    await owner.execute("SELECT pg_sleep(0.002)")
    return now.isoformat()


async def explained(api: Api, drive_id: int, student_id: int, at: str | None = None) -> dict[str, Any]:
    query = {"student_id": student_id} | ({"at": at} if at else {})
    answer = await api.get(f"/api/eligibility/{drive_id}/explain", "COORDINATOR", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def eligible(api: Api, drive_id: int, at: str, limit: int = 7) -> list[dict[str, Any]]:
    """Return the eligible students of all pages."""
    rows: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        query: dict[str, Any] = {"at": at, "after": after, "limit": limit}
        answer = await api.get(f"/api/drives/{drive_id}/eligibility", "COORDINATOR", params=query)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["students"]
        assert len(answer.json()["students"]) <= limit
        after = answer.json()["next"]
    return rows


def criterion_result(criterion: str, field: str, required: Any, actual: Any, reason: str | None) -> dict[str, Any]:
    return {
        "criterion": criterion,
        "judged_on": field,
        "required": required,
        "actual": actual,
        "met": reason is None,
        "reason": reason,
    }


async def test_each_moment_has_its_own_result_with_every_criterion(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    student = await enrolled(api, 1, cgpa="6.50", branch="CSE")
    posted = (await drive(api, min_cgpa="7", min_10th="60", branches=["CSE"]))["drive_id"]
    first = await moment(owner)
    await revised(api, student, cgpa="7.25", tenth_percent="60")
    second = await moment(owner)
    await api.patch(f"/api/drives/{posted}", json={"min_cgpa": "9"})
    past = await explained(api, posted, student, first)
    assert (past["eligible"], past["record_version"], past["drive_version"], past["status"]) == (False, 1, 2, "posted")
    assert past["reasons"] == ["CGPA_BELOW_MIN", "MARKS_MISSING"]
    assert past["criteria"] == [
        criterion_result("min_cgpa", "cgpa", "7.00", "6.50", "CGPA_BELOW_MIN"),
        criterion_result("min_10th", "tenth_percent", "60.00", None, "MARKS_MISSING"),
        criterion_result("branches", "branch", ["CSE"], "CSE", None),
    ]
    past = await explained(api, posted, student, second)
    assert (past["eligible"], past["reasons"], past["record_version"]) == (True, [], 2)
    now = await explained(api, posted, student)
    assert (now["eligible"], now["reasons"], now["decision"]) == (False, ["CGPA_BELOW_MIN"], None)


async def test_a_decision_is_explained_with_the_record_that_it_read(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """The event of the marks has an earlier time than the evaluation, but was committed after it."""
    student = await enrolled(api, 1, cgpa="8.00")
    posted = (await drive(api, min_cgpa="7"))["drive_id"]
    cause = Cause(source="test", correlation_id=uuid4())
    async with working(database_url) as worker:
        async with api.database.transaction() as connection:
            await handlers.revise(connection, ReviseRecord(student, {"cgpa": Decimal("5.00")}), cause, fresh_ids)
            [job] = await done(worker, *await queued(owner))
        at = await moment(owner)
        explanation = await explained(api, posted, student, at)
        assert (explanation["eligible"], explanation["record_version"]) == (False, 2)
        decision = explanation["decision"]
        assert (decision["eligible"], decision["selected"], decision["record_version"]) == (True, True, 1)
        assert decision["criteria"][0]["actual"] == "8.00"
        assert (decision["drive_version"], decision["judged_by"], decision["listed"]) == (2, 2, None)
        assert decision["job_id"] == str(job.id)
        await done(worker, *await queued(owner))
    decision = (await explained(api, posted, student))["decision"]
    assert (decision["eligible"], decision["selected"], decision["record_version"]) == (False, False, 2)
    assert (decision["drive_version"], decision["judged_by"]) == (3, 2), "the reevaluation uses the same criteria"
    assert (await explained(api, posted, student, at))["decision"]["selected"] is True


async def test_every_explained_decision_agrees_with_the_selections(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    students = (await enrol(owner, 24))[:24]
    posted = (await drive(api, min_cgpa="5", auto_calc=False))["drive_id"]
    path, selected_at = f"/api/drives/{posted}", []
    with_marks = [row["student_id"] for row in await owner.fetch("SELECT student_id FROM students WHERE cgpa >= 5")]
    async with working(database_url) as worker:
        for step in range(5):
            match step:
                case 0:
                    await api.post(f"{path}/publish", json={"selected_students": with_marks[::2]})
                case 1:
                    await revised(api, with_marks[0], cgpa="2")
                case 2:
                    await api.patch(path, json={"min_cgpa": "8"})
                case 3:
                    await api.post(f"{path}/publish")
                case 4:
                    await revised(api, with_marks[0], cgpa="9")
            await done(worker, *await queued(owner))
            selected_at.append((await moment(owner), await selected(owner, posted)))
    assert len({tuple(ids) for _, ids in selected_at}) == 5
    for at, ids in selected_at:
        for student in students:
            decision = (await explained(api, posted, student, at))["decision"]
            assert decision["selected"] == (student in ids)
            assert decision["selected"] == (decision["eligible"] and decision["listed"] is not False)
        students_then = await eligible(api, posted, at)
        assert [row["student_id"] for row in students_then if row["selected"]] == ids
    assert len(await owner.fetch(EVALUATIONS)) == 5


@pytest.mark.parametrize("looked_at", [10, 20_000])
async def test_the_list_of_a_past_moment_agrees_with_the_tables_at_that_moment(
    api: Api, owner: "Owner[asyncpg.Record]", looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page size of the search must not matter."""
    monkeypatch.setattr(sql, "LOOKED_AT", looked_at)
    await enrol(owner, 60)
    posted = (await drive(api, min_cgpa="4", max_backlogs="1"))["drive_id"]
    lists: list[tuple[str, list[dict[str, Any]]]] = []
    columns = ("student_id", "name", "email", "roll_number", "branch", "cgpa", "active_backlogs", "tenth_percent")

    async def remember_list() -> None:
        rows = (await api.get(f"/api/eligibility/{posted}/list")).json()
        lists.append((await moment(owner), [{name: row[name] for name in columns} for row in rows]))

    await remember_list()
    for row in lists[0][1][:3]:
        await revised(api, row["student_id"], cgpa="1", roll_number=f"new {row['student_id']}")
    await remember_list()
    file = {"file": ("a.csv", "name,email,roll_number,cgpa\nA,a@c.edu,I1,9\nB,b@c.edu,I2,1\n", "text/csv")}
    assert (await api.post("/api/students/import?dry_run=false", files=file)).status_code == 200
    await remember_list()
    await api.patch(f"/api/drives/{posted}", json={"min_cgpa": "9.5"})
    await remember_list()
    assert len({len(rows) for _, rows in lists}) == 4
    await api.delete(f"/api/drives/{posted}")
    for at, rows in lists:
        assert [{name: row[name] for name in columns} for row in await eligible(api, posted, at)] == rows


async def test_a_drive_or_student_that_did_not_exist_at_the_moment_is_not_found(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    before = await moment(owner)
    posted = (await drive(api))["drive_id"]
    between = await moment(owner)
    student = await enrolled(api, 1)
    after = await moment(owner)
    await api.delete(f"/api/drives/{posted}")

    async def refused(path: str, **query: Any) -> tuple[int, str]:
        answer = await api.get(path, "HEAD", params=query)
        return answer.status_code, answer.json()["message"]

    path, explain = f"/api/drives/{posted}/eligibility", f"/api/eligibility/{posted}/explain"
    assert await refused(path, at=before) == (404, "This drive did not exist yet at that moment.")
    assert await refused(path) == (404, "This drive had been deleted by that moment.")
    assert await refused("/api/drives/999/eligibility") == (404, "Drive not found")
    assert await refused(explain, at=between, student_id=student) == (
        404,
        "This student was not enrolled yet at that moment.",
    )
    assert await refused(explain, at=after, student_id=999_999_999) == (404, "Student not found")
    assert (await refused(explain, at=after))[0] == 422, "the student id is missing"
    assert (await explained(api, posted, student, after))["eligible"] is True


@pytest.mark.parametrize(
    "at",
    [
        "2026-01-01",
        "2026-01-01T00:00:00",
        "1700000000",
        "yesterday",
        "2999-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
async def test_an_invalid_or_future_moment_or_one_without_a_zone_is_refused(api: Api, at: str) -> None:
    answer = await api.get("/api/drives/1/eligibility", params={"at": at})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("at must be ")


async def test_students_may_only_ask_about_themselves(api: Api) -> None:
    student, other = await enrolled(api, 1, cgpa="8"), await enrolled(api, 2)
    posted, pending = (await drive(api))["drive_id"], (await drive(api, auto_calc=False))["drive_id"]
    path = f"/api/eligibility/{posted}/explain"
    for query in ({}, {"student_id": student}):
        own = await api.get(path, "STUDENT", student, params=query)
        assert (own.status_code, own.json()["student_id"]) == (200, student)
    assert (await api.get(path, "STUDENT", student, params={"student_id": other})).status_code == 403
    assert (await api.get(path, "STAFF", params={"student_id": other})).status_code == 200
    for role, user_id in (("STUDENT", student), ("STAFF", 7)):
        hidden = await api.get(f"/api/eligibility/{pending}/explain", role, user_id, params={"student_id": student})
        assert (hidden.status_code, hidden.json()["message"]) == (404, "Drive not found")


async def test_students_and_staff_cannot_see_a_drive_that_was_not_published_at_the_moment(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    """For them, the answer is that of a drive that never existed, unless the drive was published at that moment."""
    student = await enrolled(api, 1, cgpa="8")
    before = await moment(owner)
    deleted, published = [(await drive(api, auto_calc=False))["drive_id"] for _ in range(2)]
    between = await moment(owner)
    await api.delete(f"/api/drives/{deleted}")
    await api.post(f"/api/drives/{published}/publish")
    published_at = await moment(owner)
    await api.delete(f"/api/drives/{published}")

    async def answer_to(drive_id: int, at: str | None, role: str = "STUDENT") -> tuple[int, str]:
        query = {"student_id": student} | ({"at": at} if at else {})
        user_id = student if role == "STUDENT" else 7
        answer = await api.get(f"/api/eligibility/{drive_id}/explain", role, user_id, params=query)
        return answer.status_code, answer.json().get("message", "")

    for role in ("STUDENT", "STAFF"):
        for at in (before, between, published_at, None):
            assert await answer_to(deleted, at, role) == await answer_to(999, at, role) == (404, "Drive not found")
        for at in (before, between):
            assert await answer_to(published, at, role) == (404, "Drive not found")
        assert (await answer_to(published, published_at, role))[0] == 200
        assert await answer_to(published, None, role) == (404, "This drive had been deleted by that moment.")
    assert await answer_to(deleted, before, "COORDINATOR") == (404, "This drive did not exist yet at that moment.")
    assert await answer_to(deleted, published_at, "COORDINATOR") == (404, "This drive had been deleted by that moment.")


async def test_the_history_of_a_drive_lists_events_with_actors_and_changes(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    head = 800_003
    async with api.database.transaction() as connection:
        await accounts.add_user(connection, head, Role.HEAD, name="Meera")
    student = await enrolled(api, 1, cgpa="8")
    posted = (await drive(api, auto_calc=False, min_cgpa="6"))["drive_id"]
    path = f"/api/drives/{posted}"
    assert (await api.get(f"{path}/history", "STAFF")).status_code == 404, "not published yet"
    await api.patch(path, "HEAD", head, json={"min_cgpa": "7.5", "job_title": "SRE", "interview_date": "2030-03-05"})
    await api.post(f"{path}/publish", "COORDINATOR", 5, json={"selected_students": [student]})
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await revised(api, student, cgpa="2")
        await done(worker, *await queued(owner))
    await stop(api, posted)
    await api.delete(path)
    answer = await api.get(f"{path}/history", "STAFF")
    assert answer.status_code == 200, answer.text
    items = answer.json()
    assert [item["type"].removeprefix("placewire.") for item in reversed(items)] == [
        "drive.created.v1", "drive.revised.v1", "drive.published.v1", "eligibility.evaluated.v1",
        "drive.reevaluation-requested.v1", "eligibility.evaluated.v1", "drive.registrations-stopped.v1",
        "drive.deleted.v1",
    ]  # fmt: skip
    revision = items[-2]
    assert revision["actor"] == {"user_id": head, "name": "Meera", "role": "HEAD"}
    assert revision["changes"] == [
        {"field": "job_title", "before": "SDE", "after": "SRE"},
        {"field": "interview_date", "before": None, "after": "2030-03-05"},
        {"field": "min_cgpa", "before": "6.00", "after": "7.50"},
    ]
    assert {change["field"] for change in items[-1]["changes"]} == {
        "company_name", "job_title", "job_description", "min_cgpa",
    }  # fmt: skip
    assert items[-3]["facts"] == {"auto_published": False, "listed": 1}
    assert items[-3]["actor"] == {"user_id": 5, "name": None, "role": None}
    reevaluation = items[2]["facts"]
    assert (reevaluation["no_longer_selected"], reevaluation["students"]) == (1, {"first": student, "last": student})
    pages, before = [], None
    while page := (
        await api.get(f"{path}/history", params={"limit": 3} | ({"before": before} if before else {}))
    ).json():
        pages += page
        before = page[-1]["position"]
    assert pages == items
    assert (await api.get("/api/drives/999/history")).status_code == 404
