"""``GET /api/me/data`` returns everything that is stored about the caller, and nothing about anyone else."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.api.personal_data.media_type import preferred
from services.api.personal_data.openapi import OwnData
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import finished, posted, register
from tests.support.exporting import asked
from tests.support.job_worker import done, working

Owner = asyncpg.Connection
ODD_NAME = 'Ravi <script>alert(1)</script> & "O\'Neil"'


async def own_data(api: Api, role: str, user_id: int) -> dict[str, Any]:
    answer = await api.get("/api/me/data", role, user_id)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    OwnData.model_validate(body)
    return body


async def enrolled(api: Api, **changes: Any) -> int:
    body = {"name": "Ravi Iyer", "email": "ravi@college.edu", "roll_number": "21CS042", "cgpa": "8.10"} | changes
    answer = await api.post("/api/students", "HEAD", 900_001, json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["student_id"])


async def head(api: Api, owner: "Owner[asyncpg.Record]") -> int:
    body = {"name": "Asha Rao", "email": "asha@college.edu", "role": "HEAD", "password": "a long password"}
    answer = await api.post("/api/users", "HEAD", 900_001, json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["user_id"])


async def test_students_see_all_of_their_own_data(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    reader = await head(api, owner)
    student = await enrolled(api, password="a long password", email="old@college.edu")
    corrected = await api.patch(f"/api/users/{student}", "HEAD", student, json={"email": "ravi@college.edu"})
    assert corrected.status_code == 200, corrected.text
    others = await enrol(owner, 15)
    drive_id = await posted(api)
    async with working(database_url) as worker:
        await done(worker, *[row["id"] for row in await owner.fetch("SELECT id FROM es.job")])
    finished_id = await finished(api, [student], [others[-1]], company_name="Globex")
    await register(api, drive_id, student)
    assert (await api.patch(f"/api/students/{student}", "HEAD", reader, json={"cgpa": "9.00"})).status_code == 200
    link = await api.post(f"/api/users/{student}/password-link", "HEAD", reader)
    deleted_id = await posted(api, company_name="Initech")
    await register(api, deleted_id, student)
    assert (await api.delete(f"/api/drives/{deleted_id}", "HEAD", reader)).status_code == 200
    await api.get(f"/api/registrations/{drive_id}/list", "HEAD", reader)
    await api.get(f"/api/registrations/{drive_id}/list", "HEAD", reader)
    key_header = {"Idempotency-Key": "a secret key"}
    repeated = await api.post(f"/api/registrations/{drive_id}/register", "STUDENT", student, headers=key_header)
    assert repeated.status_code == 409
    other_id = await posted(api, company_name="Hooli")
    registered = await api.post(f"/api/registrations/{other_id}/register", "STUDENT", student, headers=key_header)
    assert registered.status_code == 201, registered.text

    data = await own_data(api, "STUDENT", student)
    assert data["account"]["email"] == "ravi@college.edu"
    assert [version["email"] for version in data["details"]] == ["old@college.edu", "ravi@college.edu"]
    assert data["password"]["changed_at"] >= data["account"]["created_at"]
    assert data["password_link"]["expires_at"] == link.json()["expires_at"]
    assert data["record"]["cgpa"] == "9.00"
    assert [version["record"]["cgpa"] for version in data["record_history"]] == ["8.10", "9.00"]
    assert [version["by"] for version in data["record_history"]] == [900_001, reader]
    assert {row["drive_id"]: row["attendance"] for row in data["registrations"]} == {
        finished_id: "PRESENT",
        drive_id: None,
        other_id: None,
    }
    assert [row["drive"] for row in data["deleted_registrations"]] == ["Initech - SDE"]
    assert [row["drive_id"] for row in data["decisions"]] == [drive_id]
    assert {row["entity_id"] for row in data["notifications"]} == {drive_id, finished_id}
    [kept_answer] = data["kept_answers"]
    assert kept_answer["route"] == f"POST /api/registrations/{other_id}/register"
    assert kept_answer["expires_at"] > kept_answer["kept_since"]
    assert [(row["operation"], row["reader_id"], row["reader_name"]) for row in data["accesses"]] == [
        ("student.corrected", reader, "Asha Rao")
    ]
    assert [(row["operation"], row["reader_id"], row["times"]) for row in data["list_accesses"]] == [
        ("registrations.listed", reader, 2)
    ]
    text = str(data)
    secrets = [link.json()["url"].partition("#token=")[2], "a secret key"]
    hashes = await owner.fetchrow("SELECT password_hash, encode(token_sha256, 'hex') FROM credentials, password_links")
    assert hashes is not None
    assert [secret for secret in (*secrets, *hashes) if secret in text] == []


async def test_heads_see_their_exports_drives_and_accesses(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    reader = await head(api, owner)
    student = await enrolled(api)
    drive = await api.post("/api/drives", "HEAD", reader, json={"company_name": "A", "job_title": "B"})
    export = await api.post("/api/exports", "HEAD", reader, json={"kind": "finished_drives"})
    await asked(api, kind="finished_drives")
    await api.get("/api/students?search=21CS042", "HEAD", reader)
    assert (await api.patch(f"/api/users/{reader}", "HEAD", 900_001, json={"role": "STAFF"})).status_code == 409
    data = await own_data(api, "HEAD", reader)
    assert data["record"] is None
    assert [row["export_id"] for row in data["exports"]] == [export.json()["export_id"]]
    assert [row["job_id"] for row in data["jobs"]] == [export.json()["export_id"]]
    assert [(row["drive_id"], row["created"]) for row in data["drives"]] == [(drive.json()["drive_id"], True)]
    assert [(row["operation"], row["student_id"]) for row in data["own_accesses"]] == [("students.listed", student)]
    assert (data["accesses"], data["list_accesses"]) == ([], [])
    assert [row["change"] for row in data["account_history"]] == ["created"]


async def test_the_data_is_only_that_of_the_caller(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    student, other = await enrolled(api), await enrolled(api, email="b@college.edu", roll_number="B", name="Bela Nair")
    drive_id = await posted(api)
    await register(api, drive_id, student, other)
    data = str(await own_data(api, "STUDENT", student))
    assert "Ravi Iyer" in data
    assert "Bela Nair" not in data
    assert "b@college.edu" not in data


class Tags(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("query", "accept"), [("", "text/html,application/xhtml+xml,*/*;q=0.8"), ("?format=html", "application/json")]
)
async def test_the_page_is_escaped_and_has_no_scripts(
    api: Api, owner: "Owner[asyncpg.Record]", query: str, accept: str
) -> None:
    student = await enrolled(api, name=ODD_NAME)
    answer = await api.get(f"/api/me/data{query}", "STUDENT", student, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-store", "Accept")
    policies = answer.headers.get_list("content-security-policy")
    assert re.match(r"default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'", policies[0])
    page = Tags(answer.text)
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "th", "td"}
    assert ODD_NAME in page.text
    assert "21CS042" in page.text
    assert answer.text.endswith("</html>\n")


async def test_the_answer_is_json_unless_html_is_preferred(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    student = await enrolled(api)
    for headers in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        answer = await api.get("/api/me/data", "STUDENT", student, headers=headers)
        assert answer.headers["content-type"] == "application/json"
    answer = await api.get("/api/me/data?format=json", "STUDENT", student, headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("", "json"), ("*/*", "json"), ("text/html", "html"), ("TEXT/HTML", "html"), ("text/*", "json"),
        ("application/json, text/html;q=0.9", "json"), ("text/html, application/json;q=0.9", "html"),
        ("text/html;q=0", "json"), ("text/html;q=x", "json"), ("text/html;level=1;q=0.4, */*;q=0.3", "html"),
        (";;,,", "json"),
    ],
)  # fmt: skip
def test_the_format_follows_the_accept_header(accept: str, format_: str) -> None:
    assert preferred(accept) == format_


@pytest.mark.full_only
async def test_a_large_answer_is_streamed(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """With 100,000 accesses, JSON and page are larger than the part that the spool keeps in memory."""
    student = await enrolled(api)
    await owner.execute(
        "INSERT INTO access_log (reader_id, reader_role, operation, student_id, correlation_id)"
        " SELECT 900001, 'HEAD', 'students.listed', $1, uuidv7() FROM generate_series(1, 100000)",
        student,
    )
    found = await own_data(api, "STUDENT", student)
    assert len(found["accesses"]) == 100_000
    answer = await api.get("/api/me/data?format=html", "STUDENT", student)
    assert answer.text.count("<td>students.listed</td>") == 100_000
