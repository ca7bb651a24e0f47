"""Make every call of the existing frontend as axios sends it, and check the fields that its screens read."""

import re
from collections.abc import Mapping
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.users import Role
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.system import bearer

# Headers that a browser adds to each call. None of them may change the answer.
BROWSER = {
    "Accept": "application/json, text/plain, */*",
    "Accept-Language": "en-GB,en;q=0.9",
    "Cookie": "theme=dark; _ga=GA1.1.1",
    "Origin": "http://api",
    "Referer": "http://api/",
    "Sec-Fetch-Mode": "cors",
    "X-Requested-With": "XMLHttpRequest",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DECIMAL = re.compile(r"\d{1,3}\.\d\d")
DRIVE_FIELDS = {
    "drive_id", "company_name", "job_title", "job_description", "domain_id", "domain_name", "job_domain",
    "interview_date", "min_cgpa", "min_10th", "min_12th", "max_backlogs", "posted_by", "created_at", "auto_published",
    "pdf_path", "status", "published_at", "published_by", "attendance_published",
}  # fmt: skip
FORM = {
    "company_name": "Acme", "job_title": "SDE", "domain_id": "", "job_description": "", "interview_date": "",
    "min_cgpa": "6", "min_10th": "60", "min_12th": "60", "max_backlogs": "0", "auto_calc": "false",
}  # fmt: skip
BODILESS: tuple[dict[str, str], ...] = (
    {},
    {"Content-Length": "0"},
    {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"},
)
NOTIFY = """
INSERT INTO notifications (notification_id, event_id, xid, audience, user_id, title, message, type, entity_type,
                           entity_id, created_at)
SELECT user_id * 2 + i, uuidv7(), es.log_xid(), 'USER', user_id, 'Drive', 'Posted', 'info', 'drive', 1, now()
  FROM users, generate_series(0, 1) i
"""
ANALYTICS = ("summary", "drives-over-time", "registrations-by-drive", "attendance-trend")


class Browser:
    """Call the API like the frontend of a signed-in user."""

    def __init__(self, api: Api, role: Role, user_id: int) -> None:
        self._client = api.client
        self._headers = BROWSER | bearer(role, user_id)

    async def get(self, path: str) -> Any:
        return _json(await self._client.get(f"/api{path}", headers=self._headers))

    async def file(self, path: str) -> httpx.Response:
        return _good(await self._client.get(f"/api{path}", headers=self._headers))

    async def post(self, path: str, body: Any) -> Any:
        return _json(await self._client.post(f"/api{path}", json=body, headers=self._headers))

    async def form(self, path: str, fields: Mapping[str, str], pdf: bytes | None = None) -> Any:
        parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in fields.items()]
        if pdf is not None:
            parts.append(("pdf", ("My job.pdf", pdf, "application/pdf")))
        return _json(await self._client.post(f"/api{path}", files=parts, headers=self._headers))

    async def bodiless(self, method: str, path: str, headers: Mapping[str, str]) -> Any:
        return _json(await self._client.request(method, f"/api{path}", headers=self._headers | dict(headers)))


def _good(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    return answer


def _json(answer: httpx.Response) -> Any:
    return _good(answer).json()


def is_drive(drive: dict[str, Any]) -> None:
    assert drive.keys() >= DRIVE_FIELDS
    assert all(DECIMAL.fullmatch(drive[name]) for name in ("min_cgpa", "min_10th", "min_12th"))
    assert type(drive["max_backlogs"]) is int
    assert TIME.fullmatch(drive["created_at"])
    assert drive["published_at"] is None or TIME.fullmatch(drive["published_at"])
    assert drive["job_domain"] == drive["domain_name"]


async def everyone(api: Api, owner: "asyncpg.Connection[asyncpg.Record]") -> tuple[Browser, Browser, Browser, Browser]:
    """Return a head, a coordinator, a staff member and an eligible student."""
    await enrol(owner, 40)
    student = await owner.fetchval(
        "SELECT min(student_id) FROM students WHERE cgpa >= 6 AND tenth_percent >= 60 AND twelfth_percent >= 60"
        " AND active_backlogs = 0"
    )
    accounts = []
    for role in (Role.HEAD, Role.COORDINATOR, Role.STAFF):
        body = {"name": "A", "email": f"{role}@college.edu", "role": role, "password": "password123"}
        accounts.append(Browser(api, role, _json(await api.post("/api/users", json=body))["user_id"]))
    return accounts[0], accounts[1], accounts[2], Browser(api, Role.STUDENT, student)


async def test_signing_in_returns_token_and_user(api: Api) -> None:
    account = {"name": "A", "email": "head@college.edu", "role": "HEAD", "password": "password123"}
    _json(await api.post("/api/users", json=account))
    credentials = {"email": "head@college.edu", "password": "password123"}
    answer = _json(await api.client.post("/api/auth/login", json=credentials, headers=BROWSER))
    assert type(answer["token"]) is str
    assert answer["user"].items() >= {"role": "HEAD", "name": "A", "email": "head@college.edu"}.items()
    assert type(answer["user"]["user_id"]) is int
    wrong = await api.client.post("/api/auth/login", json=credentials | {"password": "x"}, headers=BROWSER)
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid credentials")


async def test_a_drive_from_its_form_to_its_report(api: Api, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    head, coordinator, staff, student = await everyone(api, owner)
    assert await head.get("/job-domains") == []
    domain = _json(await api.post("/api/job-domains", json={"domain_name": "Cloud"}))["domain_id"]
    assert await head.get("/job-domains") == [{"domain_id": domain, "domain_name": "Cloud"}]

    filled = {"domain_id": str(domain), "job_description": "desc", "interview_date": "2030-03-05"}
    await head.form("/drives", FORM | filled, b"%PDF-1.7\n%%EOF")
    without_auto_calc = {name: value for name, value in FORM.items() if name != "auto_calc"}
    await head.form("/drives", without_auto_calc)
    await head.form("/drives", FORM | {"auto_calc": "true"})
    automatic, plain, drive = await head.get("/drives")
    for listed in (automatic, plain, drive):
        is_drive(listed)
    assert (automatic["status"], automatic["auto_published"], plain["status"]) == ("posted", True, "pending")
    assert drive["interview_date"].startswith("2030-03-05T00:00:00")
    assert (plain["interview_date"], plain["job_description"], plain["domain_id"]) == (None, "", None)
    link = drive["pdf_path"]
    assert link.startswith("/uploads/")
    assert "%" not in link
    pdf = await api.client.get(link)
    assert (pdf.content, pdf.headers["content-type"]) == (b"%PDF-1.7\n%%EOF", "application/pdf")
    assert [listed["drive_id"] for listed in await student.get("/drives")] == [automatic["drive_id"]]

    drive_id = drive["drive_id"]
    eligible = await coordinator.get(f"/eligibility/{drive_id}/list")
    assert all(DECIMAL.fullmatch(row["cgpa"]) and type(row["active_backlogs"]) is int for row in eligible)
    ids = [row["student_id"] for row in eligible]
    is_drive(await coordinator.post(f"/drives/{drive_id}/publish", {"selected_students": ids}))
    is_drive(await coordinator.get(f"/drives/{drive_id}"))
    for reader in (student, staff):
        assert {listed["drive_id"] for listed in await reader.get("/drives")} == {drive_id, automatic["drive_id"]}

    await reports(api, head, coordinator, staff)
    assert await head.bodiless("DELETE", f"/drives/{plain['drive_id']}", {}) == {
        "message": "Drive deleted successfully"
    }
    await registering(coordinator, staff, student, automatic["drive_id"])
    await reports(api, head, coordinator, staff)


async def registering(coordinator: Browser, staff: Browser, student: Browser, drive_id: int) -> None:
    """Register, stop, mark and publish. Calls without a body have the headers that axios may send."""
    assert (await student.get(f"/eligibility/{drive_id}/check"))["eligible"] is True
    assert await student.get(f"/registrations/{drive_id}/check") == {"registered": False}
    registration = await student.bodiless("POST", f"/registrations/{drive_id}/register", BODILESS[2])
    assert registration.keys() >= {"registration_id", "drive_id", "student_id", "registered_at"}
    assert await student.get(f"/registrations/{drive_id}/check") == {"registered": True}
    for reader in (coordinator, staff):
        (registered,) = await reader.get(f"/registrations/{drive_id}/list")
        assert TIME.fullmatch(registered["registered_at"])
        assert registered.keys() >= {"registration_id", "drive_id", "student_id", "name", "email"}
    for headers in BODILESS:
        await coordinator.bodiless("POST", f"/drives/{drive_id}/stop-registrations", headers)
    assert await coordinator.get(f"/attendance/{drive_id}/list") == []
    mark = {"student_id": registered["student_id"], "status": "PRESENT"}
    marked = await coordinator.post(f"/attendance/{drive_id}/mark", mark)
    assert marked.items() >= mark.items()
    (listed,) = await coordinator.get(f"/attendance/{drive_id}/list")
    assert listed.keys() >= {"attendance_id", "drive_id", "student_id", "status", "name"}
    published = await coordinator.bodiless("POST", f"/attendance/{drive_id}/publish", BODILESS[1])
    assert published["message"] == "Attendance published"
    sheet = await coordinator.file(f"/attendance/{drive_id}/download-csv")
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert sheet.text.splitlines()[0].lstrip("\ufeff") == "student_id,name,status"


async def reports(api: Api, head: Browser, coordinator: Browser, staff: Browser) -> None:
    for reader in (head, coordinator):
        for days in (7, 30, 90):
            for name in ANALYTICS:
                for more in ("", "&drive_id=1", "&force=true", "&drive_id=1&force=1"):
                    limit = "&limit=10" if name == "registrations-by-drive" else ""
                    figures = await reader.get(f"/analytics/{name}?days={days}{more}{limit}")
                    assert isinstance(figures, dict if name == "summary" else list)
        for query in ("?limit=10", "", "?months=3", "?months=6&limit=10", "?start_date=2026-01-01&end_date=2030-01-01"):
            for drive in await reader.get(f"/finished-drives{query}"):
                assert TIME.fullmatch(drive["finished_date"])
                assert all(type(drive[f"total_{name}"]) is int for name in ("registered", "present", "absent"))
    for reader in (head, coordinator, staff):
        file = await reader.file("/finished-drives/download-excel")
        assert file.content[:2] == b"PK"
        assert 'filename="finished-drives-' in file.headers["content-disposition"]
    assert (await head.file("/finished-drives/download-pdf?months=3")).content.startswith(b"%PDF-")


@pytest.mark.damages
async def test_users_of_each_role_read_their_notifications(
    api: Api, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    users = await everyone(api, owner)
    await owner.execute(NOTIFY)
    for user in users:
        own_list = await user.get("/notifications/mine?limit=15")
        assert (len(own_list["items"]), own_list["unread_count"]) == (2, 2)
        first = own_list["items"][0]
        assert TIME.fullmatch(first["created_at"])
        path = f"/notifications/{first['notification_id']}/read"
        for headers in BODILESS:
            assert (await user.bodiless("PATCH", path, headers))["unread_count"] == 1
        for headers in BODILESS:
            assert await user.bodiless("POST", "/notifications/read-all", headers) == {"ok": True, "unread_count": 0}
