"""The whole life cycle of a drive over HTTP, with the notifications of each role."""

import io
from typing import Any

import asyncpg
import httpx
from openpyxl import load_workbook
from pypdf import PdfReader

from chassis.postgres.database import Database
from contracts.users import Role
from services.maintenance.sql import refresh_all
from tests.support.bulk_students import DRIVE, enrol
from tests.support.system import System, bearer

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
STAFF_ID, COORDINATOR_ID, HEAD_ID = 910_001, 910_002, 910_003
PEOPLE = ((STAFF_ID, Role.STAFF), (COORDINATOR_ID, Role.COORDINATOR), (HEAD_ID, Role.HEAD))


class As:
    """A client of a signed-in user."""

    def __init__(self, client: httpx.AsyncClient, role: Role, user_id: int) -> None:
        self._client = client
        self._headers = bearer(role, user_id)

    async def __call__(self, method: str, path: str, status: int = 200, **options: Any) -> httpx.Response:
        headers = {**self._headers, **options.pop("headers", {})}
        answer = await self._client.request(method, path, headers=headers, **options)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer

    async def notification_titles(self) -> list[str]:
        page = (await self("GET", "/api/notifications/mine?limit=100")).json()
        assert page["unread_count"] == sum(not item["is_read"] for item in page["items"])
        return [item["title"] for item in page["items"]]


async def hired(system: System, client: httpx.AsyncClient, owner: "asyncpg.Connection[asyncpg.Record]") -> list[As]:
    """Create accounts of staff, coordinator and head, because only existing users are notified."""
    users = []
    for number, role in enumerate((Role.STAFF, Role.COORDINATOR, Role.HEAD)):
        body = {"name": role.title(), "email": f"{number}@college.edu", "role": role, "password": "correct horse"}
        answer = await client.post("/api/users", json=body)
        assert answer.status_code == 201, answer.text
        users.append(As(client, role, answer.json()["user_id"]))
    return users


async def test_a_drive_lives_with_kafka(
    kafka_system: System, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 400)
    kafka_system.start_all()
    await kafka_system.until_bus_is_trusted()
    await lives(kafka_system, owner, database_url, "kafka")


async def test_a_drive_lives_without_kafka(
    system: System, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 400)
    system.start_together("eligibility", "api")
    await lives(system, owner, database_url, "http")


async def lives(system: System, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str, delivery: str) -> None:
    """Take a drive through its life cycle. The responses must be the same with and without Kafka."""
    async with system.client() as client:
        staff, coordinator, head = await hired(system, client, owner)

        created = await head("POST", "/api/drives", 201, data=DRIVE, files={"pdf": ("a.pdf", PDF, "application/pdf")})
        drive = created.json()
        path = f"/api/drives/{drive['drive_id']}"
        assert (await client.get(drive["pdf_path"])).content == PDF
        assert await coordinator.notification_titles() == ["New Drive Added"]
        assert await staff("GET", path, 404)

        eligible = [row["student_id"] for row in (await coordinator("GET", "/api/eligibility/1/list")).json()]
        chosen, left_out = eligible[:5], eligible[5]
        wait = {"Prefer": "wait=10"}
        published = await coordinator("POST", f"{path}/publish", json={"selected_students": chosen}, headers=wait)
        assert published.json()["job"]["delivery"] == delivery
        assert published.json()["job"]["result"]["selected"] == 5
        assert await staff.notification_titles() == ["Drive Published"]

        students = [As(client, Role.STUDENT, id_) for id_ in chosen]
        other = As(client, Role.STUDENT, left_out)
        assert await students[0].notification_titles() == ["New Drive Available"]
        assert await other.notification_titles() == []
        assert (await other("GET", "/api/eligibility/1/check")).json()["reason"] == "Not selected by coordinator"
        assert (await other("POST", "/api/registrations/1/register", 403)).json()["message"] == (
            "You are not selected for this drive"
        )
        for student in students:
            assert (await student("GET", "/api/eligibility/1/check")).json()["eligible"]
            await student("POST", "/api/registrations/1/register", 201)
        await students[0]("POST", "/api/registrations/1/register", 409)
        assert (await students[0]("GET", "/api/registrations/1/check")).json() == {"registered": True}
        assert len((await staff("GET", "/api/registrations/1/list")).json()) == 5

        await coordinator("POST", f"{path}/stop-registrations")
        await coordinator("POST", "/api/attendance/1/publish", 400)
        for number, id_ in enumerate(chosen[:4]):
            mark = {"student_id": id_, "status": "present" if number else "absent"}
            assert (await coordinator("POST", "/api/attendance/1/mark", json=mark)).json()["status"] == (
                mark["status"].upper()
            )
        await coordinator("POST", "/api/attendance/1/mark", 409, json={"student_id": left_out, "status": "PRESENT"})
        assert (await coordinator("POST", "/api/attendance/1/publish")).json() == {"message": "Attendance published"}
        locked = await coordinator(
            "POST", "/api/attendance/1/mark", 400, json={"student_id": chosen[0], "status": "PRESENT"}
        )
        assert locked.json()["message"] == "Attendance already published"

        for person in (staff, coordinator, head):
            assert (await person.notification_titles())[0] == "Drive Completed"
        assert (await students[0].notification_titles())[0] == "Attendance Published"
        shown = (await staff("GET", path)).json()
        assert (shown["status"], shown["attendance_published"]) == ("finished", True)

        [finished] = (await head("GET", "/api/finished-drives?limit=10")).json()
        assert (finished["total_registered"], finished["total_present"], finished["total_absent"]) == (5, 3, 1)
        sheet = load_workbook(io.BytesIO((await staff("GET", "/api/finished-drives/download-excel")).content))[
            "Finished Drives"
        ]
        assert [cell.value for cell in sheet[2]][:3] == [1, "Acme", "SDE"]
        assert [cell.value for cell in sheet[2]][5:8] == [5, 3, 1]
        pages = PdfReader(io.BytesIO((await head("GET", "/api/finished-drives/download-pdf")).content)).pages
        text = "".join(page.extract_text() for page in pages)
        assert "Acme" in text
        assert "1970" not in text

        database = Database(database_url, pool_size=1, application_name="test-refresh")
        await refresh_all(database)
        await database.close()
        summary = (await head("GET", "/api/analytics/summary?days=30")).json()
        assert (summary["total_drives"], summary["finished"], summary["registrations"]) == (1, 1, 5)
        assert summary["attendance_rate_percent"] == 75

        await head("DELETE", path)
        assert (await head("GET", "/api/drives")).json() == []
        assert (await client.get(drive["pdf_path"])).status_code == 404
        await head("GET", path, 404)
