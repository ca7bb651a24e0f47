"""Drives over HTTP: every field, states, files, and errors with a useful message."""

import re
from typing import Any

import asyncpg
import pytest

from tests.conftest import Api
from tests.support.bulk_students import DRIVE

Owner = asyncpg.Connection
PDF = b"%PDF-1.7\n1 0 obj\n%%EOF"
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
FORM = {**DRIVE, "interview_date": "2030-03-05", "domain_id": "", "job_description": "", "auto_calc": "false"}


def pdf(content: bytes = PDF, name: str = "my job.pdf", type_: str = "application/pdf") -> dict[str, Any]:
    return {"pdf": (name, content, type_)}


async def count_events(owner: "Owner[asyncpg.Record]") -> int:
    events: int = await owner.fetchval("SELECT count(*) FROM es.event")
    return events


async def test_a_drive_has_every_field_of_the_contract(api: Api) -> None:
    domain = await api.post("/api/job-domains", json={"domain_name": "Cloud Computing"})
    assert domain.status_code == 201
    domain_id = domain.json()["domain_id"]
    answer = await api.post("/api/drives", data={**FORM, "domain_id": str(domain_id)}, files=pdf())
    assert answer.status_code == 201
    drive = answer.json()
    assert INSTANT.match(drive.pop("created_at"))
    assert re.match(
        r"^/uploads/job-descriptions/\d+-[0-9a-f]{32}-my_job\.pdf\?exp=\d+&sig=[0-9a-f]{64}$", drive.pop("pdf_path")
    )
    assert drive == {
        "drive_id": 1, "company_name": "Acme", "job_title": "SDE", "job_description": "", "domain_id": domain_id,
        "domain_name": "Cloud Computing", "job_domain": "Cloud Computing",
        "interview_date": "2030-03-05T00:00:00.000Z", "min_cgpa": "6.00", "min_10th": "60.00", "min_12th": "60.00",
        "max_backlogs": 0, "branches": None, "batch_years": None, "posted_by": 900_001, "auto_published": False,
        "status": "pending", "published_at": None, "published_by": None, "attendance_published": False,
    }  # fmt: skip


async def test_the_pdf_opens_only_with_its_signed_link(api: Api) -> None:
    link = (await api.post("/api/drives", data=FORM, files=pdf())).json()["pdf_path"]
    opened = await api.client.get(link)
    assert opened.content == PDF
    assert opened.headers["content-type"] == "application/pdf"
    assert opened.headers["x-content-type-options"] == "nosniff"
    assert (await api.client.get(link.partition("?")[0])).status_code == 403
    assert (await api.client.get(link[:-1] + ("0" if link[-1] != "0" else "1"))).status_code == 403


async def test_only_heads_and_coordinators_see_a_pending_drive(api: Api) -> None:
    await api.post("/api/drives", json=DRIVE)
    for role, seen in (("HEAD", 1), ("COORDINATOR", 1), ("STAFF", 0), ("STUDENT", 0)):
        assert len((await api.get("/api/drives", role)).json()) == seen
        assert (await api.get("/api/drives/1", role)).status_code == (200 if seen else 404)


async def test_drives_are_listed_newest_first(api: Api) -> None:
    for number in range(3):
        await api.post("/api/drives", json={**DRIVE, "job_title": f"J{number}"})
    assert [drive["job_title"] for drive in (await api.get("/api/drives")).json()] == ["J2", "J1", "J0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"company_name": " "}, "Company name and job title are required"),
        ({"job_title": ""}, "Company name and job title are required"),
        ({"min_cgpa": "11"}, "min_cgpa"),
        ({"min_cgpa": "NaN"}, "min_cgpa"),
        ({"min_10th": "101"}, "min_10th"),
        ({"min_12th": "sixty"}, "min_12th"),
        ({"max_backlogs": "-1"}, "max_backlogs"),
        ({"interview_date": "soon"}, "interview_date"),
        ({"domain_id": "4711"}, "no such job domain"),
        ({"domain_id": "x"}, "domain_id"),
        ({"job_description": "a\x00b"}, "NUL"),
    ],
)
async def test_the_error_names_a_wrong_field_and_nothing_is_recorded(
    api: Api, owner: "Owner[asyncpg.Record]", changes: dict[str, str], message: str
) -> None:
    answer = await api.post("/api/drives", json={**FORM, **changes})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert message in answer.json()["message"]
    assert await count_events(owner) == 0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (pdf(b"<script>alert(1)</script>", name="evil.html"), "not a PDF"),
        (pdf(PDF + b"0" * (25 * 1024 * 1024)), "PDF file too large. Max size is 25MB."),
        ({"resume": ("a.pdf", PDF, "application/pdf")}, "Unexpected field"),
    ],
)
async def test_a_wrong_file_is_refused_and_nothing_is_recorded(
    api: Api, owner: "Owner[asyncpg.Record]", files: dict[str, Any], message: str, tmp_path: Any
) -> None:
    answer = await api.post("/api/drives", data=FORM, files=files)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert await count_events(owner) == 0
    assert list(tmp_path.glob("uploads/job-descriptions/*")) == []


async def test_truncated_json_gets_400(api: Api) -> None:
    answer = await api.post("/api/drives", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["message"]) == (400, "The body is not valid JSON.")


async def test_unknown_paths_get_json_errors(api: Api) -> None:
    answer = await api.get("/api/nothing")
    assert answer.status_code == 404
    assert answer.json()["message"] == "Not Found"


async def test_commands_move_a_drive_through_its_states(api: Api) -> None:
    await api.post("/api/drives", json=DRIVE)
    refused = await api.post("/api/drives/1/stop-registrations", "COORDINATOR")
    assert refused.status_code == 409
    assert "pending" in refused.json()["message"]
    published = await api.post("/api/drives/1/publish", "COORDINATOR")
    assert (published.status_code, published.json()["status"]) == (202, "posted")
    assert published.json()["published_by"] == 900_001
    for _ in range(2):
        stopped = await api.post("/api/drives/1/stop-registrations", "COORDINATOR")
        assert stopped.status_code == 200
        assert stopped.json() == {"message": "Registrations stopped. Drive moved to attendance phase."}
    assert (await api.post("/api/drives/1/publish", "COORDINATOR")).status_code == 409
    for _ in range(2):
        deleted = await api.delete("/api/drives/1")
        assert (deleted.status_code, deleted.json()) == (200, {"message": "Drive deleted successfully"})
    assert (await api.get("/api/drives/1")).json()["message"] == "Not found"
    assert (await api.post("/api/drives/1/publish")).json()["message"] == "Drive not found"


async def test_deleting_a_drive_deletes_its_pdf(api: Api) -> None:
    link = (await api.post("/api/drives", data=FORM, files=pdf())).json()["pdf_path"]
    await api.delete("/api/drives/1")
    assert (await api.client.get(link)).status_code == 404


async def test_unknown_and_empty_changes_are_refused(api: Api) -> None:
    await api.post("/api/drives", json=DRIVE)
    unknown = await api.patch("/api/drives/1", json={"salary": 1})
    assert unknown.status_code == 400
    assert "salary" in unknown.json()["message"]
    assert (await api.patch("/api/drives/1", json={})).status_code == 400


async def test_a_body_that_is_too_large_gets_413(api: Api) -> None:
    for path, limit in (("/api/drives", 27), ("/api/drives/1/publish", 16), ("/api/users", 1)):
        answer = await api.post(path, content=b"x" * (limit * 1024 * 1024 + 1))
        assert answer.status_code == 413
        assert f"{limit} MiB" in answer.json()["message"]


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"company_name": "A", "job_title": "B", "branches": ["\\ud800"]}', b'{"\\ud800": 1}']
)
async def test_deeply_nested_json_and_lone_surrogates_get_400(api: Api, body: bytes) -> None:
    body = body.replace(b"\\\\", b"\\")
    for method, path in (("POST", "/api/drives"), ("PATCH", "/api/drives/1")):
        answer = await api._ask(method, path, "HEAD", None, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400


async def test_a_drive_that_exceeds_a_kafka_message_gets_413(api: Api) -> None:
    answer = await api.post("/api/drives", json={**DRIVE, "job_description": "\u0001" * 49_000})
    assert answer.status_code == 413
    assert (await api.post("/api/drives", json={**DRIVE, "branches": ["CSE"] * 40_000})).status_code == 400
