"""Registrations: answers, recorded events, refusals, and repeated requests."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from chassis.errors import RuleViolation
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from cli.replay import comparison, projection, tables
from contracts.registrations import StudentRegistered
from services.api.registrations import handlers
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.drive_scenarios import finished, posted, register, stop
from tests.support.job_worker import done, working

Owner = asyncpg.Connection
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


async def refusal(api: Api, drive_id: int, student_id: int) -> tuple[int, str]:
    answer = await api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student_id)
    return answer.status_code, answer.json()["message"]


async def test_a_registration_has_every_field_of_the_contract(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    ids = await enrol(owner, 3)
    drive_id = await posted(api)
    [body, other] = await register(api, drive_id, ids[1], ids[0])
    at = body["registered_at"]
    assert INSTANT.match(at)
    assert body == {"registration_id": 1, "drive_id": drive_id, "student_id": ids[1], "registered_at": at}
    path = f"/api/registrations/{drive_id}"
    assert (await api.get(f"{path}/check", "STUDENT", ids[1])).json() == {"registered": True}
    assert (await api.get(f"{path}/check", "STUDENT", ids[2])).json() == {"registered": False}
    for role in ("COORDINATOR", "HEAD", "STAFF"):
        assert (await api.get(f"{path}/list", role)).json() == [
            {**body, "name": "Student 2", "email": f"s{ids[1]}@college.edu"},
            {**other, "name": "Student 1", "email": f"s{ids[0]}@college.edu"},
        ]


async def test_registrations_are_counted_without_naming_anybody(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    ids = await enrol(owner, 3)
    drive_id, other = await posted(api), await posted(api)
    await register(api, drive_id, *ids[:2])
    for role in ("COORDINATOR", "HEAD", "STAFF"):
        counted = (await api.get(f"/api/registrations/{drive_id}/count", role)).json()
        assert counted == {"drive_id": drive_id, "registered": 2}
    for drive in (other, 999_999):
        counted = (await api.get(f"/api/registrations/{drive}/count")).json()
        assert counted == {"drive_id": drive, "registered": 0}
    assert await owner.fetchval("SELECT count(*) FROM access_log") == 0


async def test_students_see_their_registrations_with_drives_newest_first(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    [student, other] = await enrol(owner, 2)
    first, second = await posted(api), await posted(api, company_name="Globex", min_12th="30")
    await register(api, first, other, student)
    [latest] = await register(api, second, student)
    listed = (await api.get("/api/registrations/mine", "STUDENT", student)).json()
    assert [registration["drive_id"] for registration in listed] == [second, first]
    assert listed[0] == latest | {
        "company_name": "Globex", "job_title": "SDE", "job_description": "", "status": "posted", "min_cgpa": None,
        "min_10th": None, "min_12th": "30.00", "max_backlogs": None, "attendance_published": False,
        "deleted_at": None,
    }  # fmt: skip


async def test_registrations_for_deleted_drives_stay_in_the_students_history(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    [student, other] = await enrol(owner, 2)
    finished_id = await finished(api, [student], [other], company_name="Initech")
    stopped = await posted(api, company_name="Hooli", min_cgpa="")
    await register(api, stopped, student)
    await stop(api, stopped)
    kept, open_, of_other = await posted(api), await posted(api, min_12th="30"), await posted(api)
    await register(api, kept, student)
    await register(api, open_, student)
    await register(api, of_other, other)
    path = "/api/registrations/mine"
    before = (await api.get(path, "STUDENT", student)).json()
    for drive_id in (finished_id, stopped, open_, of_other):
        assert (await api.delete(f"/api/drives/{drive_id}")).status_code == 200
    assert [row["drive_id"] for row in (await api.get(path, "STUDENT", student)).json()] == [kept]
    rows = (await api.get(path, "STUDENT", student, params={"deleted": "true"})).json()
    assert [row | {"deleted_at": None} for row in rows] == before
    assert [(row["drive_id"], row["status"]) for row in rows] == [
        (open_, "posted"), (kept, "posted"), (stopped, "attending"), (finished_id, "finished"),
    ]  # fmt: skip
    assert [bool(row["deleted_at"] and INSTANT.match(row["deleted_at"])) for row in rows] == [True, False, True, True]
    for role in ("HEAD", "COORDINATOR", "STAFF"):
        history = (await api.get(f"/api/drives/{finished_id}/history", role)).json()
        assert [history[0]["type"], history[0]["facts"]] == ["placewire.drive.deleted.v1", {"registered": 2}]


async def test_a_registration_is_recorded_as_an_event_and_an_outbox_row(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    [student] = await enrol(owner, 1)
    drive_id = await posted(api)
    correlation_id = str(uuid4())
    answer = await api.post(
        f"/api/registrations/{drive_id}/register", "STUDENT", student, headers={"X-Correlation-Id": correlation_id}
    )
    body = answer.json()
    stream = f"registration-{drive_id}-{student}"
    async with api.database.connection() as connection:
        [recorded] = await event_store.read(connection, stream)
    assert recorded.event == StudentRegistered(registration_id=1, drive_id=drive_id, student_id=student)
    assert recorded.data == recorded.event.model_dump(mode="json")
    assert (recorded.version, recorded.id.version) == (1, 7)
    assert recorded.metadata == {"source": "api", "correlation_id": correlation_id, "actor_id": student}
    assert body["registered_at"] == recorded.recorded_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    outbox = "SELECT lane, topic, event_id, quarantined_at FROM es.outbox WHERE key = $1"
    assert [tuple(row) for row in await owner.fetch(outbox, stream)] == [
        (1, "placewire.registration", recorded.id, None)
    ]
    head = await owner.fetchrow("SELECT stream_type, version FROM es.stream WHERE stream_id = $1", stream)
    assert head is not None
    assert tuple(head) == ("registration", 1)


async def test_each_refusal_has_its_message(api: Api, owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    ids = await enrol(owner, 60)
    ineligible = await owner.fetchval("SELECT student_id FROM students WHERE cgpa IS NULL LIMIT 1")
    meets = await owner.fetch("SELECT student_id FROM students WHERE cgpa >= 1 ORDER BY 1")
    chosen, not_chosen = meets[0][0], meets[1][0]
    assert await refusal(api, 999, ids[0]) == (404, "Drive not found")
    criteria = {"min_cgpa": "1", "min_10th": "", "min_12th": "", "max_backlogs": ""}
    drive_id = int((await api.post("/api/drives", json={**DRIVE, **criteria})).json()["drive_id"])
    assert await refusal(api, drive_id, ineligible) == (403, "Drive is not posted yet")
    published = await api.post(
        f"/api/drives/{drive_id}/publish", "COORDINATOR", json={"selected_students": [chosen, meets[2][0]]}
    )
    assert await refusal(api, drive_id, chosen) == (403, "You are not selected for this drive")
    async with working(database_url) as worker:
        await done(worker, published.json()["job"]["id"])
        assert await refusal(api, drive_id, ineligible) == (403, "You are not eligible for this drive")
        assert await refusal(api, drive_id, 777_777) == (403, "You are not eligible for this drive")
        assert await refusal(api, drive_id, not_chosen) == (403, "You are not selected for this drive")
        await register(api, drive_id, chosen)
        assert await refusal(api, drive_id, chosen) == (409, "You are already registered for this drive")
        republished = await api.post(
            f"/api/drives/{drive_id}/publish", "COORDINATOR", json={"selected_students": [not_chosen]}
        )
        await done(worker, republished.json()["job"]["id"])
    assert await refusal(api, drive_id, meets[2][0]) == (403, "You are not selected for this drive")
    await register(api, drive_id, not_chosen)
    await stop(api, drive_id)
    assert await refusal(api, drive_id, chosen) == (403, "Registration for this drive is closed.")
    assert await owner.fetchval("SELECT count(*) FROM registrations") == 2


async def test_criteria_are_checked_at_the_moment_of_registering(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [student] = await enrol(owner, 1)
    drive_id = await posted(api)
    await api.patch(f"/api/students/{student}", json={"cgpa": "8.99"})
    assert (await api.patch(f"/api/drives/{drive_id}", json={"min_cgpa": "9"})).status_code == 202
    assert await refusal(api, drive_id, student) == (403, "You are not eligible for this drive")
    await api.patch(f"/api/students/{student}", json={"cgpa": "9"})
    await register(api, drive_id, student)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "1/register", {"STUDENT"}),
        ("GET", "1/check", {"STUDENT"}),
        ("GET", "mine", {"STUDENT"}),
        ("GET", "1/list", {"COORDINATOR", "HEAD", "STAFF"}),
    ],
)
async def test_each_route_allows_only_its_roles(api: Api, method: str, path: str, allowed: set[str]) -> None:
    url = f"/api/registrations/{path}"
    for role in ("STUDENT", "STAFF", "COORDINATOR", "HEAD"):
        answer = await (api.get(url, role) if method == "GET" else api.post(url, role))
        assert (answer.status_code != 403) is (role in allowed), (role, answer.text)
        if role not in allowed:
            assert answer.json()["message"] == "Forbidden: insufficient role"
    assert (await api.client.request(method, url)).json()["message"] == "No token"


async def test_lists_without_registrations_are_empty(api: Api) -> None:
    assert (await api.get("/api/registrations/77/list")).json() == []
    assert (await api.get("/api/registrations/mine", "STUDENT", 5)).json() == []
    assert (await api.get("/api/registrations/77/check", "STUDENT", 5)).json() == {"registered": False}
    assert (await api.get("/api/registrations/x/check", "STUDENT", 5)).status_code == 422


async def test_requests_with_the_same_key_get_the_first_answer(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [student] = await enrol(owner, 1)
    drive_id = await posted(api)
    path = f"/api/registrations/{drive_id}/register"

    async def register_with_key(key: str = "one") -> Any:
        return await api.post(path, "STUDENT", student, headers={"Idempotency-Key": key})

    answers = await asyncio.gather(*(register_with_key() for _ in range(8)))
    await stop(api, drive_id)
    answers.append(await register_with_key())
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert (await register_with_key("two")).status_code == 403
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE stream_id LIKE 'registration-%'") == 1


async def test_a_refused_registration_does_not_use_up_its_key(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [student] = await enrol(owner, 1)
    drive_id = int((await api.post("/api/drives", json=DRIVE)).json()["drive_id"])
    key = {"Idempotency-Key": "one"}
    refused = await api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student, headers=key)
    assert refused.status_code == 403
    assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_concurrent_requests_of_a_student_register_once(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [student] = await enrol(owner, 1)
    drive_id = await posted(api)
    clicks = (api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student) for _ in range(20))
    codes = sorted(answer.status_code for answer in await asyncio.gather(*clicks))
    assert codes == [201] + [409] * 19
    assert await owner.fetchval("SELECT count(*) FROM registrations") == 1


async def test_registering_during_a_deletion_leaves_no_registration(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    ids = await enrol(owner, 40)
    drive_id = await posted(api)

    async def register_or_delete(student_id: int) -> int:
        if student_id == ids[20]:
            return (await api.delete(f"/api/drives/{drive_id}")).status_code
        return (await api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student_id)).status_code

    codes = await asyncio.gather(*map(register_or_delete, ids))
    assert set(codes) <= {200, 201, 404}
    assert await owner.fetchval("SELECT count(*) FROM registrations") == 0
    order = "SELECT type FROM es.event WHERE type ~ 'registered|drive.deleted' ORDER BY position"
    types = [row["type"] for row in await owner.fetch(order)]
    assert types == ["placewire.registration.registered.v1"] * codes.count(201) + ["placewire.drive.deleted.v1"]


async def replay_differences(api: Api, chunk: int) -> int:
    """Return the number of rows that differ from a replay in chunks of this size."""
    async with api.database.connection() as live:
        projector = await asyncpg.connect(api.database.url)
        try:
            described = await tables.describe(live)
            row = await live.fetchrow("SELECT es.log_snapshot()::text, count(*) FROM es.event")
            assert row is not None
            await projection.prepare(projector, described)
            snapshot = projection.LogSnapshot(*row)
            assert sum([n async for n in projection.project(projector, described, snapshot, chunk=chunk)]) == row[1]
            comparisons = [await comparison.compare(live, projector, table, limit=3) for table in described]
        finally:
            await projector.close()
    return sum(compared.different for compared in comparisons)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 5000])
async def test_a_replay_gives_the_same_rows_for_any_chunk_size(
    api: Api, owner: "Owner[asyncpg.Record]", chunk: int
) -> None:
    ids = await enrol(owner, 5)
    deleted, kept = await posted(api), await posted(api)
    await register(api, deleted, *ids[:3])
    await register(api, kept, *ids[:2])
    await stop(api, kept)
    finished_id = await finished(api, ids[:2], ids[2:4])
    finished_and_deleted = await finished(api, ids[:1], ids[1:2])
    assert (await api.delete(f"/api/drives/{deleted}")).status_code == 200
    assert (await api.delete(f"/api/drives/{finished_and_deleted}")).status_code == 200
    assert await replay_differences(api, chunk) == 0
    remaining = "SELECT drive_id, count(*) FROM registrations GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in await owner.fetch(remaining)] == [(kept, 2), (finished_id, 4)]
    assert await owner.fetchval("SELECT count(*) FROM attendance") == 4
    assert await owner.fetchval("SELECT array_agg(drive_id) FROM finished_drives") == [finished_id]


async def test_a_registration_comes_after_its_drive_in_the_log_even_from_an_older_transaction(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    """A registration with an Idempotency-Key gets its transaction id before it reads the drive."""
    [student, other] = await enrol(owner, 2)
    cause = Cause(source="test", correlation_id=uuid4())
    async with api.database.transaction() as older:
        await older.execute("SELECT pg_current_xact_id()")
        drive_id = await posted(api)
        await handlers.register(older, drive_id, student, cause, uuid4())
        with pytest.raises(RuleViolation, match="already"):
            await handlers.register(older, drive_id, student, cause, uuid4())
    await register(api, drive_id, other)
    not_before_drive = "SELECT bool_and(tx >= (SELECT max(tx) FROM es.event WHERE stream_id = $1)) FROM es.event"
    assert await owner.fetchval(not_before_drive + " WHERE stream_id LIKE 'registration-%'", f"drive-{drive_id}")
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE tx > xid") == 1
    assert await replay_differences(api, 1) == 0
