"""Notifications: recipients, fields and read marks. A replay of the log gives the same notifications."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from contracts.drives import AttendancePublished
from contracts.message import Event
from contracts.registrations import StudentRegistered
from contracts.users import Role, RoleChanged
from tests.conftest import Api
from tests.support import accounts
from tests.support.bulk_students import DRIVE, PLAIN_COUNT, enrol
from tests.support.job_worker import done, working

Owner = asyncpg.Connection
STAFF, COORDINATOR, HEAD = 800_001, 800_002, 800_003
PEOPLE = {STAFF: Role.STAFF, COORDINATOR: Role.COORDINATOR, HEAD: Role.HEAD}
EVERYONE = {"min_cgpa": "", "min_10th": "", "min_12th": "", "max_backlogs": ""}


async def record(api: Api, stream: str, *events: Event) -> None:
    cause = Cause(source="test", correlation_id=uuid4())
    async with api.database.transaction() as connection:
        await event_store.append(connection, stream, events, cause, expected_version=None)


async def add_user(api: Api, user_id: int, role: Role) -> None:
    async with api.database.transaction() as connection:
        await accounts.add_user(connection, user_id, role, name=str(role))


@pytest.fixture
async def staff(api: Api) -> None:
    for user_id, role in PEOPLE.items():
        await add_user(api, user_id, role)


async def created(api: Api, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/api/drives", json={**DRIVE, **changes})
    assert answer.status_code in (201, 202), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def published(api: Api, drive_id: int, listed: list[int] | None = None) -> str:
    """Publish the drive. Return the id of its job."""
    body = {"selected_students": listed} if listed else None
    answer = await api.post(f"/api/drives/{drive_id}/publish", "COORDINATOR", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job"]["id"])


async def own_list(api: Api, user_id: int, **query: Any) -> dict[str, Any]:
    role = PEOPLE.get(user_id, Role.STUDENT)
    answer = await api.get("/api/notifications/mine", role, user_id, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def notifications(api: Api, user_id: int) -> list[tuple[str, str, str]]:
    """Return type, title and message of the user's notifications, newest first."""
    items = (await own_list(api, user_id, limit=100))["items"]
    return [(item["type"], item["title"], item["message"]) for item in items]


async def test_without_notifications_the_list_is_empty(api: Api, staff: None) -> None:
    assert await own_list(api, STAFF) == {"items": [], "unread_count": 0}
    assert await own_list(api, 999_999) == {"items": [], "unread_count": 0}


async def test_coordinators_are_notified_of_a_new_drive_field_by_field(api: Api, staff: None) -> None:
    drive = await created(api, company_name="100% Acme", job_title="%s Engineer")
    body = await own_list(api, COORDINATOR)
    [item] = body["items"]
    assert body["unread_count"] == 1
    assert list(item) == [
        "notification_id", "title", "message", "type", "entity_type", "entity_id", "is_read", "created_at", "read_at",
    ]  # fmt: skip
    assert isinstance(item["notification_id"], int)
    assert (item["type"], item["title"]) == ("info", "New Drive Added")
    assert item["message"] == "100% Acme - %s Engineer has been created and is ready for review."
    assert (item["entity_type"], item["entity_id"]) == ("drive", drive["drive_id"])
    assert (item["is_read"], item["read_at"]) == (False, None)
    assert item["created_at"] == drive["created_at"]
    assert await notifications(api, STAFF) == await notifications(api, HEAD) == []


async def test_auto_publishing_notifies_staff_and_selected_students(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    students = await enrol(owner, 60)
    drive = await created(api, auto_calc=True)
    notification = ("success", "New Drive Available", "Acme - SDE has been auto-published.")
    assert await notifications(api, STAFF) == [notification]
    assert [title for _, title, _ in await notifications(api, COORDINATOR)] == ["New Drive Added"]
    assert [await notifications(api, id_) for id_ in students] == [[]] * 60, "nobody is selected yet"
    async with working(database_url) as worker:
        await done(worker, drive["job"]["id"])
    selected = {row["student_id"] for row in await owner.fetch("SELECT student_id FROM selections")}
    assert 0 < len(selected) == await owner.fetchval(PLAIN_COUNT) < 60
    for id_ in students:
        assert await notifications(api, id_) == ([notification] if id_ in selected else [])
    assert await notifications(api, HEAD) == []


async def test_publishing_notifies_staff_and_listed_students(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 20)
    students = [row["student_id"] for row in await owner.fetch("SELECT student_id FROM students ORDER BY 1")]
    drive_id = (await created(api, **EVERYONE))["drive_id"]
    async with working(database_url) as worker:
        await done(worker, await published(api, drive_id, students[:2]))
        assert await notifications(api, STAFF) == [
            ("success", "Drive Published", "Acme - SDE is now open for registrations.")
        ]
        listed = ("success", "New Drive Available", "Acme - SDE is available for you to register.")
        assert [await notifications(api, id_) for id_ in students[:3]] == [[listed], [listed], []]
        await done(worker, await published(api, drive_id))
    everyone = ("success", "New Drive Available", "Acme - SDE has been published.")
    assert [await notifications(api, id_) for id_ in students[:3]] == [[listed], [listed], [everyone]], (
        "only newly selected students are notified"
    )
    assert len(await notifications(api, STAFF)) == 2


async def test_a_new_evaluation_notifies_only_students_whose_selection_changes(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 40)
    drive = await created(api, **EVERYONE | {"min_cgpa": "8"}, auto_calc=True)
    path = f"/api/drives/{drive['drive_id']}"
    by_cgpa = await owner.fetch("SELECT student_id, cgpa FROM students WHERE cgpa >= 7 ORDER BY cgpa DESC")
    best, good = by_cgpa[0]["student_id"], by_cgpa[-1]["student_id"]
    assert by_cgpa[0]["cgpa"] >= 8 > by_cgpa[-1]["cgpa"]
    async with working(database_url) as worker:
        await done(worker, drive["job"]["id"])
        for cgpa in ("7", "9.99", "7"):  # looser, stricter, and looser again
            answer = await api.patch(path, json={"min_cgpa": cgpa})
            await done(worker, answer.json()["job"]["id"])
        selected_again = ("success", "New Drive Available", "Acme - SDE is available for you to register.")
        selected_first = ("success", "New Drive Available", "Acme - SDE has been auto-published.")
        deselected = (
            "warning", "No Longer Selected",
            "You are no longer selected for Acme - SDE. If you have registered, your registration stays.",
        )  # fmt: skip
        assert await notifications(api, good) == [selected_again, deselected, selected_again]
        assert await notifications(api, best) == [selected_again, deselected, selected_first]
        count_before = await owner.fetchval("SELECT count(*) FROM notifications")
        triggered = await api.post(f"{path}/trigger-eligibility")
        await done(worker, triggered.json()["job"]["id"])
    assert await owner.fetchval("SELECT count(*) FROM notifications") == count_before, "nobody is newly selected"


async def test_a_notification_keeps_the_name_of_the_drive_at_its_time(api: Api, staff: None) -> None:
    drive_id = (await created(api))["drive_id"]
    await api.patch(f"/api/drives/{drive_id}", json={"company_name": "Zenith"})
    await published(api, drive_id)
    assert (await notifications(api, STAFF))[0][2] == "Zenith - SDE is now open for registrations."
    assert (await notifications(api, COORDINATOR))[0][2] == "Acme - SDE has been created and is ready for review."


async def test_an_evaluation_after_registrations_stopped_notifies_nobody(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    [student, *_] = await enrol(owner, 5)
    drive = await created(api, **EVERYONE, auto_calc=True)
    await api.post(f"/api/drives/{drive['drive_id']}/stop-registrations", "COORDINATOR")
    async with working(database_url) as worker:
        [job] = await done(worker, drive["job"]["id"])
    assert job.result is not None
    assert job.result["selected"] == 5
    assert await notifications(api, student) == []


async def finished(api: Api, drive_id: int, registered: list[int]) -> None:
    for number, student_id in enumerate(registered):
        event = StudentRegistered(registration_id=drive_id * 1000 + number, drive_id=drive_id, student_id=student_id)
        await record(api, f"registration-{drive_id}-{student_id}", event)
    await api.post(f"/api/drives/{drive_id}/stop-registrations", "COORDINATOR")
    published = AttendancePublished(drive_id=drive_id, registered=len(registered), present=1, absent=0)
    await record(api, f"drive-{drive_id}", published)


async def test_published_attendance_notifies_registered_students_and_all_staff(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]"
) -> None:
    students = await enrol(owner, 3)
    drive = await created(api, auto_calc=True)
    await finished(api, drive["drive_id"], students[:2])
    attendance = ("info", "Attendance Published", "Attendance has been published for Acme - SDE.")
    assert [await notifications(api, id_) for id_ in students] == [[attendance], [attendance], []]
    for id_ in PEOPLE:
        assert (await notifications(api, id_))[0] == (
            "success", "Drive Completed", "Acme - SDE has been moved to finished drives.",
        )  # fmt: skip


async def test_deleting_a_drive_deletes_its_notifications(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    [student, *_] = await enrol(owner, 3)
    deleted, kept, deleted_before_job = [await created(api, **EVERYONE, auto_calc=True) for _ in range(3)]
    async with working(database_url) as worker:
        await done(worker, deleted["job"]["id"], kept["job"]["id"])
        for drive in (deleted, deleted_before_job):
            assert (await api.delete(f"/api/drives/{drive['drive_id']}")).status_code == 200
        await done(worker, deleted_before_job["job"]["id"])
    for id_ in (student, STAFF, COORDINATOR):
        body = await own_list(api, id_)
        assert {item["entity_id"] for item in body["items"]} == {kept["drive_id"]}
        assert body["unread_count"] == 1
    assert {row[0] for row in await owner.fetch("SELECT entity_id FROM notifications")} == {kept["drive_id"]}


async def test_new_users_and_new_roles_get_no_earlier_notifications(api: Api, staff: None) -> None:
    await created(api, auto_calc=True)
    newcomer = 800_010
    await add_user(api, newcomer, Role.STAFF)
    await record(api, f"user-{COORDINATOR}", RoleChanged(user_id=COORDINATOR, role=Role.STAFF))
    assert await notifications(api, newcomer) == await notifications(api, COORDINATOR) == []
    assert len(await notifications(api, STAFF)) == 1
    await created(api, auto_calc=True)
    for id_, count in ((newcomer, 1), (COORDINATOR, 1), (STAFF, 2)):
        assert (await own_list(api, id_))["unread_count"] == len(await notifications(api, id_)) == count


async def test_reading_a_notification_changes_only_the_own_unread_count(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]"
) -> None:
    other = 800_010
    await add_user(api, other, Role.COORDINATOR)
    for _ in range(3):
        await created(api)
    items = (await own_list(api, COORDINATOR))["items"]
    path = f"/api/notifications/{items[1]['notification_id']}/read"
    answer = await api.patch(path, "COORDINATOR", COORDINATOR)
    assert answer.status_code == 200
    body = answer.json()
    assert body["unread_count"] == 2
    assert body["item"] == {
        "user_id": COORDINATOR, **items[1], "is_read": True, "read_at": body["item"]["read_at"],
    }  # fmt: skip
    assert (await api.patch(path, "COORDINATOR", COORDINATOR)).json() == body, "the first read_at must stay"
    after = await own_list(api, COORDINATOR)
    assert [item["is_read"] for item in after["items"]] == [False, True, False]
    assert after["items"][1]["read_at"] == body["item"]["read_at"]
    assert (await own_list(api, other))["unread_count"] == 3
    for user_id, role in ((HEAD, "HEAD"), (STAFF, "STAFF"), (999_999, "STUDENT")):
        refused = await api.patch(path, role, user_id)
        assert (refused.status_code, refused.json()["message"]) == (404, "Notification not found")
    assert (await api.patch("/api/notifications/9007199254740991/read")).status_code == 404
    for invalid_id in ("x", "0", "-1", "9007199254740992", "1.5"):
        assert (await api.patch(f"/api/notifications/{invalid_id}/read")).status_code == 422
    assert await owner.fetchval("SELECT count(*) FROM notification_reads") == 1


async def test_reading_all_stores_one_row_and_leaves_newer_notifications_unread(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]"
) -> None:
    for _ in range(5):
        await created(api)
    for _ in range(2):
        answer = await api.post("/api/notifications/read-all", "COORDINATOR", COORDINATOR)
        assert (answer.status_code, answer.json()) == (200, {"ok": True, "unread_count": 0})
    body = await own_list(api, COORDINATOR)
    assert body["unread_count"] == 0
    assert all(item["is_read"] and item["read_at"] for item in body["items"])
    assert await owner.fetchval("SELECT count(*) FROM notification_read_marks") == 1
    assert await owner.fetchval("SELECT count(*) FROM notification_reads") == 0
    await created(api)
    body = await own_list(api, COORDINATOR)
    assert [item["is_read"] for item in body["items"]] == [False] + [True] * 5
    assert body["unread_count"] == 1


async def test_a_notification_committed_after_reading_all_is_unread_even_if_it_is_older(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]"
) -> None:
    event_id = uuid4()
    async with owner.transaction():
        await owner.execute(
            "SELECT es.append('drive-77', 0, 'placewire.drive', 0::smallint, $1)",
            f'[{{"id": "{event_id}", "type": "placewire.drive.created.v1", "metadata": {{}}, "data":'
            ' {"drive_id": 77, "posted_by": 1, "posting": {"company_name": "Slow", "job_title": "SDE",'
            ' "job_description": "", "criteria": {}}}}]',
        )
        await created(api)
        await api.post("/api/notifications/read-all", "COORDINATOR", COORDINATOR)
    body = await own_list(api, COORDINATOR)
    assert [(item["message"][:4], item["is_read"]) for item in body["items"]] == [("Acme", True), ("Slow", False)]
    assert body["unread_count"] == 1


async def test_notifications_are_listed_newest_first_up_to_the_limit(api: Api, staff: None) -> None:
    ids = [(await created(api))["drive_id"] for _ in range(25)]
    body = await own_list(api, COORDINATOR)
    assert [item["entity_id"] for item in body["items"]] == ids[::-1][:20]
    assert body["unread_count"] == 25, "the count must cover all notifications"
    assert len({item["notification_id"] for item in (await own_list(api, COORDINATOR, limit=100))["items"]}) == 25
    assert [item["entity_id"] for item in (await own_list(api, COORDINATOR, limit=1))["items"]] == ids[-1:]
    for invalid_limit in ("0", "101", "-1", "x", "99999999999999999999"):
        assert (await api.get("/api/notifications/mine", params={"limit": invalid_limit})).status_code == 422


PROJECTED = ("users", "students", "drives", "evaluations", "registrations", "attendance", "finished_drives",
             "notifications")  # fmt: skip
REPLAY = """
SELECT project(stream_type, events) FROM (
    SELECT split_part(stream_id, '-', 1) AS stream_type, array_agg(e ORDER BY tx, position) AS events
      FROM es.event e WHERE position BETWEEN $1 AND $2 GROUP BY 1
     ORDER BY array_position(ARRAY['student', 'user', 'drive', 'eligibility'], split_part(min(stream_id), '-', 1))
) AS grouped
"""
DIFFERENCE = """
(TABLE public.notifications EXCEPT TABLE replay.notifications) UNION ALL
(TABLE replay.notifications EXCEPT TABLE public.notifications)
"""


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
async def test_a_replay_gives_the_same_notifications(
    api: Api, staff: None, owner: "Owner[asyncpg.Record]", database_url: str, chunk: int
) -> None:
    """This holds for any chunk size, although in a chunk all drives are projected before all evaluations."""
    students = await enrol(owner, 30)
    drives = [await created(api, **EVERYONE, company_name=f"Company {i}", auto_calc=i % 2 == 0) for i in range(6)]
    async with working(database_url) as worker:
        await done(worker, *(drive["job"]["id"] for drive in drives if "job" in drive))
        await done(worker, await published(api, drives[1]["drive_id"], students[:1]))
        for drive in drives[:3]:
            answer = await api.patch(f"/api/drives/{drive['drive_id']}", json={"company_name": "New", "min_cgpa": "5"})
            if "job" in answer.json():
                await done(worker, answer.json()["job"]["id"])
        late_job = await published(api, drives[3]["drive_id"])
        await api.post(f"/api/drives/{drives[3]['drive_id']}/stop-registrations", "COORDINATOR")
        await done(worker, late_job)
    await finished(api, drives[2]["drive_id"], students[:3])
    await api.delete(f"/api/drives/{drives[0]['drive_id']}")
    await api.post("/api/notifications/read-all", "COORDINATOR", COORDINATOR)

    await owner.execute("CREATE SCHEMA replay")
    for table in PROJECTED:
        await owner.execute(f"CREATE TABLE replay.{table} (LIKE public.{table} INCLUDING ALL)")
    await owner.execute("SET search_path = replay, public")
    last = await owner.fetchval("SELECT max(position) FROM es.event")
    for first in range(1, last + 1, chunk):
        await owner.fetch(REPLAY, first, first + chunk - 1)
    assert await owner.fetchval("SELECT count(*) FROM replay.notifications") > 10
    assert await owner.fetch(DIFFERENCE) == []
    digest = "SELECT bit_xor(hash_record_extended(ROW(n.*), 1)) FROM public.notifications n"
    assert await owner.fetchval(digest), "verify compares this digest"


async def test_concurrent_reads_leave_no_unread_notification(api: Api, staff: None) -> None:
    """Concurrent read marks never conflict, and an older mark never undoes a newer one."""
    ids = [(await created(api))["drive_id"] for _ in range(10)]
    items = (await own_list(api, COORDINATOR))["items"]
    calls = [
        *(
            api.patch(f"/api/notifications/{item['notification_id']}/read", "COORDINATOR", COORDINATOR)
            for item in items
        ),
        *(api.post("/api/notifications/read-all", "COORDINATOR", COORDINATOR) for _ in range(10)),
    ]
    answers = await asyncio.gather(*calls)
    assert len(ids) == 10
    assert {answer.status_code for answer in answers} == {200}
    assert (await own_list(api, COORDINATOR))["unread_count"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/notifications/mine"),
        ("PATCH", "/api/notifications/8/read"),
        ("POST", "/api/notifications/read-all"),
    ],
)
async def test_an_unauthenticated_caller_is_refused(api: Api, method: str, path: str) -> None:
    answer = await api.client.request(method, path)
    assert (answer.status_code, answer.json()["message"]) == (401, "No token")
    assert isinstance(UUID(answer.headers["x-correlation-id"]), UUID)
