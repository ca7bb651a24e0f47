"""Access rules: each route with each role, sign-in, and changes of roles and passwords."""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import asyncpg
import jwt
import pytest
from fastapi import APIRouter, FastAPI

from chassis.errors import Throttled
from chassis.tokens import Principal, issue_user_token
from contracts.users import Role
from services.api.http.access import declared_access, published_routes, require_declared_access
from services.api.users.throttle import Throttle
from tests.conftest import Api
from tests.support.eventually import eventually
from tests.support.system import SECRET

Owner = asyncpg.Connection
H, C, STAFF, STUDENT = Role.HEAD, Role.COORDINATOR, Role.STAFF, Role.STUDENT
ALL = {H, C, STAFF, STUDENT}
API_DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"

# Each route must have a row here. None means that the route is public.
MATRIX: dict[str, set[Role] | None] = {
    "POST /api/auth/login": None,
    "POST /api/auth/accept-invitation": None,
    "POST /api/auth/password": ALL,
    "GET /api/users": {H},
    "POST /api/users": {H},
    "PATCH /api/users/{user_id}": {H},
    "POST /api/users/{user_id}/deactivate": {H},
    "POST /api/users/{user_id}/reactivate": {H},
    "POST /api/users/{user_id}/password-link": {H, C},
    "GET /api/students": {H, C, STAFF},
    "POST /api/students": {H},
    "GET /api/students/{student_id}": {H, C, STAFF},
    "GET /api/students/{student_id}/registrations": {H, C, STAFF},
    "GET /api/students/{student_id}/accesses": {H},
    "PATCH /api/students/{student_id}": {H, C},
    "POST /api/students/import": {H},
    "POST /api/students/invitations": {H},
    "GET /api/job-domains": ALL,
    "POST /api/job-domains": {H},
    "PATCH /api/job-domains/{domain_id}": {H},
    "GET /api/drives": ALL,
    "POST /api/drives": {H},
    "POST /api/eligibility/count": {H, C},
    "GET /api/drives/{drive_id}": ALL,
    "PATCH /api/drives/{drive_id}": {H},
    "DELETE /api/drives/{drive_id}": {H},
    "POST /api/drives/{drive_id}/publish": {H, C},
    "POST /api/drives/{drive_id}/trigger-eligibility": {H},
    "POST /api/drives/{drive_id}/stop-registrations": {C},
    "GET /api/drives/{drive_id}/eligibility": {H, C},
    "GET /api/drives/{drive_id}/history": {H, C, STAFF},
    "GET /api/eligibility/{drive_id}/explain": ALL,
    "GET /api/eligibility/mine": {STUDENT},
    "GET /api/eligibility/{drive_id}/list": {H, C},
    "POST /api/eligibility/{drive_id}/filter": {C},
    "GET /api/eligibility/{drive_id}/check": {STUDENT},
    "POST /api/registrations/{drive_id}/register": {STUDENT},
    "GET /api/registrations/mine": {STUDENT},
    "GET /api/registrations/{drive_id}/check": {STUDENT},
    "GET /api/registrations/{drive_id}/count": {H, C, STAFF},
    "GET /api/registrations/{drive_id}/list": {H, C, STAFF},
    "POST /api/attendance/{drive_id}/mark": {C},
    "GET /api/attendance/{drive_id}/list": {H, C},
    "POST /api/attendance/{drive_id}/publish": {C},
    "GET /api/attendance/{drive_id}/download-csv": {H, C},
    "GET /api/finished-drives": {H, C},
    "GET /api/finished-drives/download-excel": {H, C, STAFF},
    "GET /api/finished-drives/download-pdf": {H, C},
    "GET /api/subfilter/{drive_id}/apply": {C},
    "GET /api/me/data": ALL,
    "DELETE /api/students/{student_id}/personal-data": {H},
    "DELETE /api/users/{user_id}/personal-data": {H},
    "GET /api/notifications/mine": ALL,
    "PATCH /api/notifications/{notification_id}/read": ALL,
    "POST /api/notifications/read-all": ALL,
    "GET /api/analytics/summary": {H, C},
    "GET /api/analytics/drives-over-time": {H, C},
    "GET /api/analytics/registrations-by-drive": {H, C},
    "GET /api/analytics/attendance-trend": {H, C},
    "POST /api/analytics/refresh": {H},
    "GET /api/jobs": ALL,
    "GET /api/jobs/{job_id}": ALL,
    "GET /api/jobs/{job_id}/events": ALL,
    "POST /api/jobs/{job_id}/cancel": {H, C, STAFF},
    "GET /api/operations": {H},
    "GET /api/dead-letters": {H},
    "GET /api/dead-letters/groups": {H},
    "POST /api/dead-letters/redrive": {H},
    "GET /api/dead-letters/{job_id}": {H},
    "POST /api/dead-letters/{job_id}/redrive": {H},
    "POST /api/dead-letters/{job_id}/discard": {H},
    "POST /api/exports": {H, C, STAFF},
    "GET /api/exports": {H, C, STAFF},
    "GET /api/exports/{export_id}": {H, C, STAFF},
    "GET /api/exports/{export_id}/file": {H, C, STAFF},
    "POST /api/registrations/{drive_id}/export": {H, C, STAFF},
    "GET /uploads/job-descriptions/{name}": None,
}


async def test_every_route_declares_the_roles_of_its_row(api: Api) -> None:
    declared: dict[str, set[Role] | None] = {}
    for path, route in published_routes(api.app):
        access = declared_access(route)
        assert access is not None
        for method in route.methods or ():
            declared[f"{method} {path}"] = None if access.public else set(access.roles)
    assert declared == MATRIX


def test_docs_api_md_has_every_route_and_its_roles() -> None:
    rows = re.findall(r"^\| `([A-Z]+ /[^`]+)` \| ([^|]+) \| \S.* \|$", API_DOCUMENT.read_text(), re.MULTILINE)
    documented = {
        call: None if who == "anyone" else ALL if who == "signed in" else {Role(role) for role in who.split(", ")}
        for call, who in rows
    }
    assert documented == MATRIX
    assert len(rows) == len(documented)


def test_an_app_with_an_undeclared_route_does_not_start() -> None:
    app, router = FastAPI(), APIRouter()
    router.add_api_route("/open", lambda: None)
    app.include_router(router)
    with pytest.raises(RuntimeError, match="/open"):
        require_declared_access(app)


@pytest.mark.parametrize("name", [name for name, roles in MATRIX.items() if roles is not None])
async def test_a_wrong_role_gets_403_and_an_unauthenticated_caller_401(api: Api, name: str) -> None:
    method, path = name.split(" ")
    for field in ("{job_id}", "{export_id}"):
        path = path.replace(field, "00000000-0000-7000-8000-000000000000")
    for field in ("{user_id}", "{student_id}", "{drive_id}", "{notification_id}", "{domain_id}", "{record_id}"):
        path = path.replace(field, "1")
    anonymous = await api.client.request(method, path)
    assert (anonymous.status_code, anonymous.json()["message"]) == (401, "No token")
    forged = await api.client.request(method, path, headers={"Authorization": "Bearer " + jwt.encode({}, "x" * 32)})
    assert (forged.status_code, forged.json()["message"]) == (401, "Invalid token")
    allowed = MATRIX[name]
    assert allowed is not None
    for role in ALL - allowed:
        answer = await api._ask(method, path, role, None)
        assert (answer.status_code, answer.json()["message"]) == (403, "Forbidden: insufficient role"), role


async def test_staff_and_students_do_not_see_jobs_of_others(api: Api) -> None:
    drive = await api.post("/api/drives", "HEAD", 5, json={"company_name": "A", "job_title": "B", "auto_calc": True})
    job = drive.json()["job"]["id"]
    assert (await api.get(f"/api/jobs/{job}", "COORDINATOR", 6)).status_code == 200
    for role in ("STAFF", "STUDENT"):
        for path in (f"/api/jobs/{job}", f"/api/jobs/{job}/events"):
            assert (await api.get(path, role, 6)).status_code == 404
        assert (await api.get("/api/jobs", role, 6)).json() == []


USER = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}


async def test_a_user_signs_in_with_email_and_password(api: Api) -> None:
    created = await api.post("/api/users", json=USER)
    assert created.status_code == 201, created.text
    signed = await api.client.post("/api/auth/login", json={"email": USER["email"], "password": USER["password"]})
    assert signed.status_code == 200
    assert signed.json()["user"] == {
        "user_id": created.json()["user_id"], "role": "STAFF", "name": "Asha", "email": "asha@college.edu",
    }  # fmt: skip
    authorized = await api.client.get("/api/drives", headers={"Authorization": f"Bearer {signed.json()['token']}"})
    assert authorized.status_code == 200
    for body in ({"email": USER["email"], "password": "wrong"}, {"email": "x@y", "password": "p"}, {}):
        refused = await api.client.post("/api/auth/login", json=body)
        assert (refused.status_code, refused.json()["message"]) == (401, "Invalid credentials")
    assert (await api.client.post("/api/auth/login")).status_code == 401
    assert (await api.post("/api/users", json=USER)).status_code == 409


async def test_wrong_passwords_are_limited_per_email_address(api: Api) -> None:
    await api.post("/api/users", json=USER)
    wrong = {"email": USER["email"], "password": "guess"}
    answers = [await api.client.post("/api/auth/login", json=wrong) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    other = await api.client.post("/api/auth/login", json={"email": "b@college.edu", "password": "x"})
    assert other.status_code == 401


async def test_concurrent_wrong_passwords_are_all_counted(api: Api) -> None:
    await api.post("/api/users", json=USER)
    wrong = {"email": USER["email"], "password": "guess"}
    answers = await asyncio.gather(*(api.client.post("/api/auth/login", json=wrong) for _ in range(60)))
    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 50


def test_the_throttle_ends_after_its_window() -> None:
    throttle = Throttle(2, 100)
    throttle.failed("a", "here", now=0)
    throttle.failed("a", "there", now=1)
    with pytest.raises(Throttled):
        throttle.check("a", "here", now=59)
    throttle.check("a", "here", now=61.5)


async def sign_in(api: Api, password: str = USER["password"]) -> dict[str, str]:
    signed = await api.client.post("/api/auth/login", json={"email": USER["email"], "password": password})
    return {"Authorization": f"Bearer {signed.json()['token']}"}


async def test_a_changed_role_takes_effect_at_once(api: Api) -> None:
    user_id = (await api.post("/api/users", json=USER)).json()["user_id"]
    head = (await api.post("/api/users", json={**USER, "email": "h@c.edu", "role": "HEAD"})).json()["user_id"]
    signed_in = await sign_in(api)
    assert (await api.client.get("/api/eligibility/1/list", headers=signed_in)).status_code == 403

    async def status() -> int:
        return (await api.client.get("/api/eligibility/1/list", headers=signed_in)).status_code

    for role, expected in (("COORDINATOR", 200), ("STAFF", 403)):
        revised = await api.patch(f"/api/users/{user_id}", "HEAD", head, json={"role": role})
        assert revised.json()["role"] == role

        async def counts(expected: int = expected) -> bool:
            return await status() == expected

        await eventually(counts, within_s=3)


async def test_a_changed_password_invalidates_older_tokens(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await api.post("/api/users", json=USER)
    old = await sign_in(api)
    wrong = {"current_password": "no", "new_password": "another one"}
    assert (await api.client.post("/api/auth/password", json=wrong, headers=old)).status_code == 403
    right = {"current_password": USER["password"], "new_password": "another one"}
    changed = await api.client.post("/api/auth/password", json=right, headers=old)
    assert changed.status_code == 200
    new = {"Authorization": f"Bearer {changed.json()['token']}"}

    async def ended() -> bool:
        return (await api.client.get("/api/drives", headers=old)).status_code == 401

    await eventually(ended, within_s=3)
    assert (await api.client.get("/api/drives", headers=new)).status_code == 200
    assert (await api.client.get("/api/drives", headers=await sign_in(api, "another one"))).status_code == 200
    stored = await owner.fetch("SELECT data::text || metadata::text AS all FROM es.event")
    assert not any("another" in row["all"] or "argon2" in row["all"] for row in stored)


async def test_password_changes_with_the_same_correlation_id_all_take_effect(api: Api) -> None:
    await api.post("/api/users", json=USER)
    passwords, headers = [USER["password"], "second one", "third one!"], await sign_in(api)
    for old, new in pairwise(passwords):
        body = {"current_password": old, "new_password": new}
        same = {"X-Correlation-Id": "00000000-0000-7000-8000-000000000001"}
        answer = await api.client.post("/api/auth/password", json=body, headers=headers | same)
        assert answer.status_code == 200
        former_headers, headers = headers, {"Authorization": f"Bearer {answer.json()['token']}"}
        assert (await api.client.get("/api/drives", headers=headers)).status_code == 200
        await eventually(partial(refused, api, former_headers), within_s=3)


async def refused(api: Api, headers: dict[str, str]) -> bool:
    return (await api.client.get("/api/drives", headers=headers)).status_code == 401


@pytest.mark.parametrize(("path", "status"), [("/api/auth/login", 413), ("/api/users", 401), ("/api/drives", 401)])
async def test_a_long_body_without_a_token_is_refused(api: Api, path: str, status: int) -> None:
    body = b"[" + b"[]," * 40_000 + b"[]]"
    answer = await api.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status

    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    chunked = await api.client.post(path, content=in_parts(), headers={"Content-Type": "application/json"})
    assert chunked.status_code == status


@pytest.mark.parametrize(("path", "query"), [("/uploads/job-descriptions/1-a.pdf", "exp=99999999999&sig=%C3%A9")])
async def test_a_link_with_a_false_signature_is_refused(api: Api, path: str, query: str) -> None:
    assert (await api.client.get(f"{path}?{query}")).status_code in (403, 422)


async def test_a_lone_surrogate_in_a_password_is_refused(api: Api) -> None:
    body = b'{"email": "a@college.edu", "password": "\\ud800"}'.replace(b"\\\\", b"\\")
    answer = await api.client.post("/api/auth/login", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (401, 422)


async def test_a_role_change_takes_effect_without_the_listening_connection(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    """Without the connection that listens for changes, each request reads the account from the database."""
    user_id = (await api.post("/api/users", json=USER)).json()["user_id"]
    head = (await api.post("/api/users", json={**USER, "email": "h@c.edu", "role": "HEAD"})).json()["user_id"]
    signed_in = await sign_in(api)
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'placewire-api-listen'"
    )
    await asyncio.sleep(0.05)
    assert (await api.patch(f"/api/users/{user_id}", "HEAD", head, json={"role": "COORDINATOR"})).status_code == 200
    answer = await api.client.get("/api/eligibility/1/list", headers=signed_in)
    assert answer.status_code == 200, (answer.text, api.app.state.guard.changes)


async def test_a_head_cannot_demote_themselves_or_turn_staff_into_students(api: Api) -> None:
    user_id = (await api.post("/api/users", json=USER)).json()["user_id"]
    assert (await api.patch(f"/api/users/{user_id}", json={"role": "STUDENT"})).status_code == 409
    own = (await api.post("/api/users", json={**USER, "email": "h@c.edu", "role": "HEAD"})).json()["user_id"]
    token = issue_user_token(Principal(own, Role.HEAD, "H", "h@c.edu", 0), SECRET)
    answer = await api.client.patch(
        f"/api/users/{own}", json={"role": "STAFF"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 409
    assert (await api.post("/api/users", json={**USER, "role": "STUDENT"})).status_code == 422


async def test_no_password_or_token_reaches_the_logs(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    await api.post("/api/users", json=USER)
    headers = await sign_in(api)
    await api.client.post("/api/auth/login", json={"email": USER["email"], "password": "wrong horse"})
    log = capfd.readouterr().err
    assert USER["password"] not in log
    assert "wrong horse" not in log
    assert headers["Authorization"].removeprefix("Bearer ") not in log
