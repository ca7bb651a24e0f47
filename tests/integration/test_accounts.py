"""Accounts: corrections, deactivation, invitations and links that set a password."""

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest_asyncio

from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import posted
from tests.support.eventually import eventually
from tests.support.exporting import exporting
from tests.support.job_worker import done, working
from tests.support.maintenance_app import after, maintaining
from tests.support.system import HEAD_ID

Owner = asyncpg.Connection
USER = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}
STUDENT = {"name": "Ravi", "email": "ravi@college.edu", "roll_number": "R1", "cgpa": "9.00", "branch": "CSE"}


# These callers need accounts, because the API reads the caller's account while a change of accounts is in progress.
HEAD, COORDINATOR, OTHER_HEAD = HEAD_ID, HEAD_ID + 1, HEAD_ID + 2


@pytest_asyncio.fixture(autouse=True)
async def _staff(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await owner.execute(f"ALTER SEQUENCE user_id_seq RESTART {HEAD}")
    for user_id, role in ((HEAD, "HEAD"), (COORDINATOR, "COORDINATOR"), (OTHER_HEAD, "HEAD")):
        assert await created_user(api, email=f"{user_id}@college.edu", role=role) == user_id
    await owner.execute("ALTER SEQUENCE user_id_seq RESTART 1")


async def login(api: Api, email: str, password: str) -> httpx.Response:
    return await api.client.post("/api/auth/login", json={"email": email, "password": password})


async def created_user(api: Api, **changes: Any) -> int:
    answer = await api.post("/api/users", json={**USER, **changes})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["user_id"])


async def enrolled_student(api: Api, **changes: Any) -> int:
    answer = await api.post("/api/students", json={**STUDENT, **changes})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["student_id"])


async def accept(api: Api, link: str, password: str = "my own password") -> httpx.Response:
    body = {"token": link.rpartition("=")[2], "password": password}
    return await api.client.post("/api/auth/accept-invitation", json=body)


async def test_a_head_corrects_name_address_and_department(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    user_id = await created_user(api)
    await created_user(api, email="other@college.edu")
    changed = await api.patch(f"/api/users/{user_id}", json={"email": "Asha.Rao@college.edu", "department": "CSE"})
    assert changed.status_code == 200, changed.text
    assert {name: changed.json()[name] for name in ("name", "email", "department", "active")} == {
        "name": "Asha", "email": "Asha.Rao@college.edu", "department": "CSE", "active": True,
    }  # fmt: skip
    assert (await login(api, "asha.rao@college.edu", USER["password"])).status_code == 200
    assert (await login(api, USER["email"], USER["password"])).status_code == 401
    assert (await api.patch(f"/api/users/{user_id}", json={"department": None})).json()["department"] is None
    assert (await api.patch(f"/api/users/{user_id}", json={"email": "OTHER@college.edu"})).status_code == 409
    assert (await api.patch(f"/api/users/{user_id}", json={})).status_code == 422
    assert (await api.patch(f"/api/users/{user_id}", json={"name": None})).status_code == 422
    data = await owner.fetchval(
        "SELECT data FROM es.event WHERE type LIKE '%details-revised%' ORDER BY position LIMIT 1"
    )
    assert '"changed": ["email", "department"]' in data


async def test_a_head_corrects_a_student_and_a_coordinator_only_the_record(api: Api) -> None:
    student_id = await enrolled_student(api)
    await enrolled_student(api, email="b@college.edu", roll_number="R2")
    body = {"name": "Ravi Iyer", "email": "ravi.iyer@college.edu", "department": "Computing", "roll_number": "R9"}
    assert (await api.patch(f"/api/students/{student_id}", "COORDINATOR", COORDINATOR, json=body)).status_code == 403
    changed = await api.patch(f"/api/students/{student_id}", json={**body, "cgpa": "8.50"})
    assert changed.status_code == 200, changed.text
    assert changed.json() | {**body, "cgpa": "8.50"} == changed.json()
    taken = await api.patch(f"/api/students/{student_id}", json={"email": "B@college.edu", "cgpa": "1.00"})
    assert taken.status_code == 409
    [student] = (await api.get("/api/students?search=R9")).json()
    assert (student["cgpa"], student["active"]) == ("8.50", True)
    assert (
        await api.patch(f"/api/students/{student_id}", "COORDINATOR", COORDINATOR, json={"cgpa": "8.00"})
    ).status_code == 200


async def test_a_deactivated_account_cannot_sign_in_and_its_tokens_are_refused(api: Api) -> None:
    user_id = await created_user(api)
    token = (await login(api, USER["email"], USER["password"])).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.client.get("/api/drives", headers=headers)).status_code == 200
    deactivated = await api.post(f"/api/users/{user_id}/deactivate")
    assert (deactivated.status_code, deactivated.json()["active"]) == (200, False)

    async def token_is_refused() -> bool:
        return (await api.client.get("/api/drives", headers=headers)).status_code == 401

    await eventually(token_is_refused, within_s=3)
    refused = await login(api, USER["email"], USER["password"])
    assert (refused.status_code, refused.json()["message"]) == (401, "Invalid credentials")
    assert (await api.post(f"/api/users/{user_id}/deactivate")).status_code == 200  # the second time changes nothing
    assert (await api.post(f"/api/users/{user_id}/password-link")).status_code == 409
    assert (await api.post(f"/api/users/{user_id}/reactivate")).json()["active"] is True
    assert (await login(api, USER["email"], USER["password"])).status_code == 200
    assert await token_is_refused()  # reactivation does not restore the token
    assert (await api.post("/api/users/999/deactivate")).status_code == 404


async def test_a_deactivated_student_is_not_selected_until_reactivated(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 30)
    async with working(database_url) as worker:
        drive_id = await posted(api)
        await done(worker, await owner.fetchval("SELECT id FROM es.job"))
        selected = "SELECT student_id FROM selections WHERE drive_id = $1 AND revoked_version IS NULL ORDER BY 1"
        student_id = await owner.fetchval(selected, drive_id)

        async def selected_after(path: str) -> bool:
            answer = await api.post(f"/api/users/{student_id}/{path}")
            assert answer.status_code == 200, answer.text
            queued = await owner.fetch("SELECT id FROM es.job WHERE state = 'queued' ORDER BY seq")
            assert len(queued) == 1
            await done(worker, *[row["id"] for row in queued])
            return student_id in [row["student_id"] for row in await owner.fetch(selected, drive_id)]

        assert await selected_after("deactivate") is False
        listed = (await api.get(f"/api/eligibility/{drive_id}/list")).json()
        assert student_id not in [row["student_id"] for row in listed]
        explanation = await api.get(f"/api/eligibility/{drive_id}/explain?student_id={student_id}")
        assert (explanation.json()["eligible"], explanation.json()["reasons"]) == (False, ["ACCOUNT_DEACTIVATED"])
        published = await api.post(f"/api/drives/{drive_id}/publish", "HEAD")
        await done(worker, published.json()["job"]["id"])
        assert student_id not in [row["student_id"] for row in await owner.fetch(selected, drive_id)]
        assert await selected_after("reactivate") is True


async def test_a_password_link_works_once(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    user_id = await created_user(api)
    old = (await login(api, USER["email"], USER["password"])).json()["token"]
    assert (await api.post(f"/api/users/{user_id}/password-link", "COORDINATOR", COORDINATOR)).status_code == 403
    first, second = [(await api.post(f"/api/users/{user_id}/password-link")).json()["url"] for _ in range(2)]
    assert first.startswith("http://api/console/accept-invitation#token=")
    assert (await accept(api, first)).status_code == 404  # the second link replaced it
    assert (await accept(api, "=" + "0" * 64)).status_code == 404
    codes = [answer.status_code for answer in await asyncio.gather(*(accept(api, second) for _ in range(3)))]
    assert sorted(codes) == [200, 410, 410]
    assert (await login(api, USER["email"], "my own password")).status_code == 200

    async def token_is_refused() -> bool:
        answer = await api.client.get("/api/drives", headers={"Authorization": f"Bearer {old}"})
        return answer.status_code == 401

    await eventually(token_is_refused, within_s=3)
    stored = await owner.fetchval("SELECT string_agg(l::text, '') FROM password_links l")
    assert second.rpartition("=")[2] not in stored
    third = (await api.post(f"/api/users/{user_id}/password-link")).json()["url"]
    await owner.execute("UPDATE password_links SET expires_at = now() - interval '1 second'")
    expired = await accept(api, third)
    assert (expired.status_code, "expired" in expired.json()["message"]) == (410, True)
    assert (await api.post("/api/users/999/password-link")).status_code == 404


async def test_a_link_of_a_deactivated_account_does_not_work(api: Api) -> None:
    student_id = await enrolled_student(api)
    link = (await api.post(f"/api/users/{student_id}/password-link", "COORDINATOR", COORDINATOR)).json()["url"]
    assert (await api.post(f"/api/users/{student_id}/deactivate")).status_code == 200
    assert (await accept(api, link)).status_code == 410
    await api.post(f"/api/users/{student_id}/reactivate")
    assert (await accept(api, link)).status_code == 410


async def test_invalid_link_tokens_are_limited_by_source(api: Api) -> None:
    api.app.state.throttle._sources._limit = 5
    answers = [await accept(api, f"={number}") for number in range(7)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 2


async def invitation_file(api: Api, database_url: str, folder: Path, **body: Any) -> tuple[str, list[dict[str, str]]]:
    answer = await api.post("/api/students/invitations", json=body)
    assert answer.status_code == 202, answer.text
    export_id = answer.json()["export_id"]
    async with exporting(database_url, folder) as worker:
        await done(worker, export_id)
    file = await api.get(f"/api/exports/{export_id}/file")
    assert file.status_code == 200, file.text
    return export_id, list(csv.DictReader(io.StringIO(file.text)))


async def test_only_the_requesting_head_can_download_the_file_of_invitations(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    first = await enrolled_student(api)
    second = await enrolled_student(api, email="b@college.edu", roll_number="R2", branch="ECE  Core", name="=1+1")
    await enrolled_student(api, email="c@college.edu", roll_number="R3", password="has one already")
    deactivated = await enrolled_student(api, email="d@college.edu", roll_number="R4")
    await api.post(f"/api/users/{deactivated}/deactivate")
    export_id, rows = await invitation_file(api, database_url, tmp_path)
    assert [int(row["student_id"]) for row in rows] == [first, second]
    assert rows[1]["name"] == "'=1+1"
    tokens = [row["link"].rpartition("=")[2] for row in rows]
    assert {len(token) for token in tokens} == {64}
    assert len(set(tokens)) == 2
    for caller in (("HEAD", OTHER_HEAD), ("COORDINATOR", COORDINATOR)):
        assert (await api.get(f"/api/exports/{export_id}/file", *caller)).status_code == 403
    everything = ("es.event", "es.job", "es.outbox", "idempotency_keys", "exports", "password_links")
    for table in everything:
        stored = await owner.fetchval(f"SELECT string_agg(t::text, '') FROM {table} t") or ""
        assert not any(token in stored for token in tokens), table
    # A second file with one of the students replaces only the link of that student.
    _, again = await invitation_file(api, database_url, tmp_path, branches=[" ece core"])
    assert [int(row["student_id"]) for row in again] == [second]
    assert (await accept(api, rows[1]["link"])).status_code == 404
    signed = await accept(api, again[0]["link"])
    assert (signed.status_code, signed.json()["user"]["user_id"]) == (200, second)
    assert (await accept(api, again[0]["link"])).status_code == 410
    assert (await accept(api, rows[0]["link"], "first password")).status_code == 200
    assert (await login(api, STUDENT["email"], "first password")).status_code == 200
    _, no_rows = await invitation_file(api, database_url, tmp_path, student_ids=[first], batch_years=[2027])
    assert no_rows == []
    assert (await api.post("/api/students/invitations", json={"branch": "ECE"})).status_code == 422


async def test_a_first_password_does_not_change_the_access_version(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """Accepted invitations of many students must not make each replica read all accounts again."""
    student_id = await enrolled_student(api)
    link = (await api.post(f"/api/users/{student_id}/password-link")).json()["url"]
    signed = await accept(api, link)
    assert signed.status_code == 200
    assert await owner.fetchval("SELECT access_version FROM users WHERE user_id = $1", student_id) == 0
    token = {"Authorization": f"Bearer {signed.json()['token']}"}
    assert (await api.client.get("/api/drives", headers=token)).status_code == 200


async def test_expired_links_are_deleted(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    user_id = await created_user(api)
    await api.post(f"/api/users/{user_id}/password-link")
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(after(days=13.9)))["password_links"] == 0
        assert (await maintenance.due.once(after(days=14.1)))["password_links"] == 1
    assert await owner.fetchval("SELECT count(*) FROM password_links") == 0
