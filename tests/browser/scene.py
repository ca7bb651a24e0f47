"""Data for the screens: a campus in the middle of its season, made over the public API."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from cli.sample.people import PASSWORD
from contracts.users import Role

EMAILS = {
    Role.HEAD: "head@college.edu",
    Role.COORDINATOR: "coord@college.edu",
    Role.STAFF: "staff1@college.edu",
    Role.STUDENT: "student1@college.edu",
}
STUDENTS = range(1, 6)
ENDED = {"succeeded", "failed", "cancelled"}


class Caller:
    """One person who calls the API."""

    def __init__(self, url: str, email: str) -> None:
        self._url = url
        response = httpx.post(f"{url}/api/auth/login", json={"email": email, "password": PASSWORD}, timeout=30)
        response.raise_for_status()
        self._headers = {"Authorization": f"Bearer {response.json()['token']}"}

    def call(self, method: str, path: str, **options: Any) -> Any:
        response = httpx.request(method, self._url + path, headers=self._headers, timeout=60, **options)
        assert response.is_success, response.text
        return response.json()

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.call("POST", path, **({} if body is None else {"json": body}))

    def until_ended(self, job: Mapping[str, Any]) -> None:
        """Wait until a job has ended."""
        deadline = time.monotonic() + 30
        while self.get(f"/api/jobs/{job['id']}")["state"] not in ENDED:
            assert time.monotonic() < deadline, "the job did not end"
            time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Scene:
    """Ids: a drive in each state, a student, an account, an export and a job. ``url``: the API's."""

    url: str
    open: int
    draft: int
    attending: int
    finished: int
    student: int
    staff: int
    export: str
    job: str

    def path(self, template: str) -> str:
        """Return the address of a screen."""
        names = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return "/console" + template.format(**names)

    def caller(self, role: Role) -> Caller:
        return Caller(self.url, EMAILS[role])


def open_drive(head: Caller, company: str, **fields: Any) -> int:
    """Return a published drive whose students are selected."""
    body = {"company_name": company, "job_title": "Engineer", "interview_date": "2030-03-05", "auto_calc": True}
    drive = head.post("/api/drives", body | fields)
    head.until_ended(drive["job"])
    return int(drive["drive_id"])


def with_registrations(url: str, head: Caller, company: str) -> tuple[int, list[int]]:
    """Return an open drive for which some students are registered, and these students."""
    drive_id = open_drive(head, company)
    registered = [
        Caller(url, f"student{number}@college.edu").post(f"/api/registrations/{drive_id}/register")["student_id"]
        for number in STUDENTS
    ]
    return drive_id, registered


def attending_drive(url: str, head: Caller, coordinator: Caller, company: str) -> tuple[int, list[int]]:
    """Return a drive whose registration has ended, and its students."""
    drive_id, students = with_registrations(url, head, company)
    coordinator.post(f"/api/drives/{drive_id}/stop-registrations")
    return drive_id, students


def build(url: str) -> Scene:
    """Make the scene over the API at ``url``."""
    head, coordinator = Caller(url, EMAILS[Role.HEAD]), Caller(url, EMAILS[Role.COORDINATOR])
    description = "You build services for ten million customers.\nTwo rounds of interviews on campus."
    opened, students = with_registrations(url, head, "Acme Systems")
    open_drive(head, "Northwind Analytics", min_cgpa="9.99", branches="CSE, ECE")
    draft = head.post(
        "/api/drives", {"company_name": "Zenith Cloud", "job_title": "SRE", "job_description": description}
    )
    attending, _ = attending_drive(url, head, coordinator, "Blue Ocean Bank")
    finished, present = attending_drive(url, head, coordinator, "Meridian Motors")
    for place, student in enumerate(present):
        mark = {"student_id": student, "status": "ABSENT" if place == 0 else "PRESENT"}
        coordinator.post(f"/api/attendance/{finished}/mark", mark)
    coordinator.post(f"/api/attendance/{finished}/publish")
    export = coordinator.post("/api/exports", {"kind": "registrations", "drive_id": opened})
    coordinator.until_ended(export["job"])
    staff = next(user["user_id"] for user in head.get("/api/users") if user["role"] == "STAFF")
    job = coordinator.get("/api/jobs?limit=1")[0]["id"]
    return Scene(url, opened, draft["drive_id"], attending, finished, students[0], staff, export["export_id"], job)
