"""One scenario for each command that accepts an Idempotency-Key: its preconditions, and the request."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import httpx

from tests.conftest import Api
from tests.support.bulk_students import DRIVE

HEAD_ID = 900_001
MARKS = {"cgpa": "9", "tenth_percent": 90, "twelfth_percent": 90}
GIVE_UP = """
UPDATE es.job SET state = 'failed', dead_lettered = true, error = 'failed', finished_at = clock_timestamp()
 WHERE id = $1::uuid
"""


@dataclass
class Call:
    """A request that can be sent several times."""

    method: str
    path: str
    role: str = "HEAD"
    user_id: int = HEAD_ID
    options: dict[str, Any] = field(default_factory=dict)

    async def send(self, api: Api, key: str) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return await api._ask(self.method, self.path, self.role, self.user_id, headers=headers, **self.options)


@dataclass
class World:
    """Creates the objects that commands need. ``number()`` returns a new number each time."""

    api: Api
    owner: "asyncpg.Connection[asyncpg.Record]"
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def number(self) -> int:
        return next(self.numbers)

    async def made(self, path: str, role: str = "HEAD", user_id: int = HEAD_ID, **options: Any) -> dict[str, Any]:
        answer = await self.api.post(path, role, user_id, **options)
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def drive(self, **more: Any) -> int:
        return int((await self.made("/api/drives", json={**DRIVE, **more}))["drive_id"])

    async def student(self) -> int:
        return int((await self.made("/api/students", json=self.new_student()))["student_id"])

    def new_student(self) -> dict[str, Any]:
        number = self.number()
        return {"name": "A", "email": f"s{number}@college.edu", "roll_number": f"R{number}", **MARKS}

    def new_user(self) -> dict[str, Any]:
        return {"name": "A", "email": f"u{self.number()}@c.edu", "role": "STAFF", "password": "correct horse"}

    async def attending(self) -> tuple[int, int]:
        """Create a drive with one registered student, and stop its registrations. Return both ids."""
        student, drive = await self.student(), await self.drive(auto_calc=True)
        await self.made(f"/api/registrations/{drive}/register", "STUDENT", student)
        await self.made(f"/api/drives/{drive}/stop-registrations", "COORDINATOR")
        return drive, student

    async def dead_job(self) -> str:
        job = str((await self.made(f"/api/drives/{await self.drive()}/trigger-eligibility"))["job"]["id"])
        await self.owner.execute(GIVE_UP, job)
        return job


Scenario = Callable[[World], Awaitable[Call]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    def add(make: Scenario) -> Scenario:
        SCENARIOS[name] = make
        return make

    return add


def on(
    path: str, thing: Callable[[World], Awaitable[Any]], method: str = "POST", role: str = "HEAD", **options: Any
) -> None:
    """Add a scenario that needs one object. The object's id replaces ``{}`` in ``path``."""

    async def make(world: World) -> Call:
        return Call(method, path.replace("{}", str(await thing(world))), role, options=options)

    name = path.replace("{}", "{" + THINGS[thing] + "}")
    SCENARIOS[f"{method} {name}"] = make


async def inactive(world: World) -> int:
    user_id = await user(world)
    await world.made(f"/api/users/{user_id}/deactivate")
    return user_id


async def domain(world: World) -> int:
    return int((await world.made("/api/job-domains", json={"domain_name": f"D{world.number()}"}))["domain_id"])


async def user(world: World) -> int:
    return int((await world.made("/api/users", json=world.new_user()))["user_id"])


async def posted(world: World) -> int:
    return await world.drive(auto_calc=True)


async def marked(world: World) -> int:
    drive, student = await world.attending()
    mark = {"student_id": student, "status": "PRESENT"}
    await world.made(f"/api/attendance/{drive}/mark", "COORDINATOR", json=mark)
    return drive


async def export(world: World) -> str:
    return str((await world.made("/api/exports", json={"kind": "finished_drives"}))["job"]["id"])


THINGS: dict[Any, str] = {
    World.drive: "drive_id", posted: "drive_id", marked: "drive_id", World.student: "student_id", user: "user_id",
    inactive: "user_id", domain: "domain_id", export: "job_id", World.dead_job: "job_id",
}  # fmt: skip

on("/api/drives/{}", World.drive, "PATCH", json={"job_title": "Another"})
on("/api/drives/{}", World.drive, "DELETE")
on("/api/drives/{}/publish", World.drive)
on("/api/drives/{}/trigger-eligibility", posted)
on("/api/drives/{}/stop-registrations", posted, role="COORDINATOR")
on("/api/attendance/{}/publish", marked, role="COORDINATOR")
on("/api/registrations/{}/export", posted)
on("/api/students/{}", World.student, "PATCH", json={"cgpa": "8.5"})
on("/api/users/{}", user, "PATCH", json={"role": "COORDINATOR", "password": "another horse"})
on("/api/users/{}/deactivate", user)
on("/api/users/{}/reactivate", inactive)
on("/api/students/{}/personal-data", World.student, "DELETE")
on("/api/users/{}/personal-data", user, "DELETE")
on("/api/jobs/{}/cancel", export)
on("/api/dead-letters/{}/redrive", World.dead_job, json={})
on("/api/dead-letters/{}/discard", World.dead_job, json={"reason": "a test"})


@scenario("POST /api/drives")
async def _create_drive(_world: World) -> Call:
    file = {"pdf": ("brief.pdf", b"%PDF-1.7\n%%EOF", "application/pdf")}
    return Call("POST", "/api/drives", options={"data": {**DRIVE, "auto_calc": "true"}, "files": file})


@scenario("POST /api/registrations/{drive_id}/register")
async def _register(world: World) -> Call:
    student, drive = await world.student(), await posted(world)
    return Call("POST", f"/api/registrations/{drive}/register", "STUDENT", student)


@scenario("POST /api/job-domains")
async def _add_domain(world: World) -> Call:
    return Call("POST", "/api/job-domains", options={"json": {"domain_name": f"D{world.number()}"}})


@scenario("PATCH /api/job-domains/{domain_id}")
async def _rename_domain(world: World) -> Call:
    name = {"domain_name": f"D{world.number()}"}
    return Call("PATCH", f"/api/job-domains/{await domain(world)}", options={"json": name})


@scenario("POST /api/users")
async def _create_user(world: World) -> Call:
    return Call("POST", "/api/users", options={"json": world.new_user()})


@scenario("POST /api/students")
async def _enrol(world: World) -> Call:
    return Call("POST", "/api/students", options={"json": world.new_student()})


@scenario("POST /api/auth/password")
async def _change_password(world: World) -> Call:
    """Change a password. The response has a new token, which is not compared. The change ends the old token."""
    user_id, passwords = await user(world), {"current_password": "correct horse", "new_password": "another horse"}
    return Call("POST", "/api/auth/password", "STAFF", user_id, options={"json": passwords})


@scenario("POST /api/students/invitations")
async def _invite(world: World) -> Call:
    return Call("POST", "/api/students/invitations", options={"json": {"student_ids": [await world.student()]}})


@scenario("POST /api/students/import")
async def _import(world: World) -> Call:
    number = world.number()
    file = f"name,email,roll_number\nA,i{number}@college.edu,I{number}\n"
    return Call("POST", "/api/students/import?dry_run=false", options={"files": {"file": ("a.csv", file, "text/csv")}})


@scenario("POST /api/attendance/{drive_id}/mark")
async def _mark(world: World) -> Call:
    drive, student = await world.attending()
    mark = {"student_id": student, "status": "PRESENT"}
    return Call("POST", f"/api/attendance/{drive}/mark", "COORDINATOR", options={"json": mark})


@scenario("POST /api/exports")
async def _export(_world: World) -> Call:
    return Call("POST", "/api/exports", options={"json": {"kind": "finished_drives"}})


@scenario("POST /api/dead-letters/redrive")
async def _redrive_all(world: World) -> Call:
    await world.dead_job()
    return Call("POST", "/api/dead-letters/redrive", options={"json": {}})


@scenario("POST /api/analytics/refresh")
async def _refresh(_world: World) -> Call:
    return Call("POST", "/api/analytics/refresh")
