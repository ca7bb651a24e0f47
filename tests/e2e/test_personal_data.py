"""Personal data is in the vault and in two read tables, and nowhere else that a running system writes to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from chassis.postgres.database import connect_alone
from contracts.exports import ExportFormat, ExportKind
from contracts.users import Role
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from tests.conftest import must_verify
from tests.support.accounts import add_user
from tests.support.bulk_students import DRIVE
from tests.support.collector import collecting
from tests.support.drive_scenarios import EVERYONE
from tests.support.eventually import eventually
from tests.support.system import HEAD_ID, bearer, running
from tests.support.written_everywhere import Running, files, holding, metrics, written

PROCESSES = ("eligibility", "exporter", "maintenance", "relay", "api")
# A marker that is part of every name, e-mail address and roll number of the test.
MARKER = "qvxplanted"
COORDINATOR_ID = HEAD_ID + 1
COMPANY = "Findable Industries"
PASSWORD = "a password to be guessed"
ALLOWED = {"table vault.person", "table vault.kept_answer", "table public.users", "table public.students"}
CSV_HEADER = "name,email,roll_number,cgpa\n"
# An error that no command expects, so that it is logged as a bug. Its text quotes the whole row.
UNEXPECTED = "ALTER TABLE users ADD CONSTRAINT never CHECK (name NOT LIKE '%unexpected')"


@pytest_asyncio.fixture
async def everything(kafka_alone: Kafka, own_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Running]:
    """Yield a system with all processes, log level debug and traces, on a separate Postgres."""
    with (
        collecting() as collector,
        running(
            own_postgres.dsn, kafka_alone.bootstrap_servers, tmp_path, LOG_LEVEL="debug",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="100",
        ) as system,
    ):  # fmt: skip
        await asyncio.to_thread(system.start_together, *PROCESSES)
        yield Running(system, kafka_alone, own_postgres, collector)


@pytest_asyncio.fixture
async def own_database(everything: Running) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await connect_alone(everything.postgres.dsn, application_name="test")
    await connection.execute("CREATE EXTENSION pg_stat_statements")
    # Callers need accounts, because the API looks them up after accounts have changed.
    async with connection.transaction():
        await add_user(connection, HEAD_ID, Role.HEAD)
        await add_user(connection, COORDINATOR_ID, Role.COORDINATOR)
    yield connection
    await connection.close()


def person(number: int, **more: Any) -> dict[str, Any]:
    return {"name": f"{MARKER} {number}", "email": f"{MARKER}.{number}@college.edu", **more}


def student(number: int, **more: Any) -> dict[str, Any]:
    return person(number, roll_number=f"{MARKER}-{number}", cgpa="8.00", **more)


class Commands:
    """Sends requests. Each request with an Idempotency-Key is sent twice."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._keys = 0

    async def send(self, method: str, path: str, status: int, **options: Any) -> Any:
        headers = options.pop("headers", {})
        answer = await self._client.request(method, path, headers=headers, **options)
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.content

    async def once(self, method: str, path: str, status: int, **options: Any) -> Any:
        """Send a request twice with the same Idempotency-Key. The responses must be equal byte for byte."""
        self._keys += 1
        headers = {**options.pop("headers", {}), "Idempotency-Key": f"key {self._keys}"}
        answers = [await self._client.request(method, path, headers=headers, **options) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [status] * 2, [answer.text for answer in answers]
        if b'"token"' not in answers[0].content:
            assert answers[0].content == answers[1].content
        return answers[0].json()


async def accounts(commands: Commands) -> None:
    """Create, correct and sign in users. Also send addresses that are in use, and bodies that cannot be read."""
    user = (await commands.once("POST", "/api/users", 201, json=person(1, role="STAFF", password=PASSWORD)))["user_id"]
    await commands.send("POST", "/api/users", 409, json=person(1, role="STAFF", password=PASSWORD))
    await commands.once("POST", "/api/users", 201, json=person(2, role="STAFF", password=PASSWORD))
    await commands.once("PATCH", f"/api/users/{user}", 200, json=person(3))
    await commands.send("PATCH", f"/api/users/{user}", 409, json={"email": person(2)["email"]})
    await commands.send("PATCH", f"/api/users/{user}", 422, json={"email": MARKER, "name": MARKER * 40})
    await commands.send("POST", "/api/users", 422, json=person(4, role=MARKER, password="x", **{MARKER: 1}))
    await commands.send(
        "POST", "/api/users", 400, content=f'{{"name": "{MARKER}', headers={"Content-Type": "application/json"}
    )
    # The server closes the connection after an unexpected error.
    unexpected = person(5, role="STAFF", password=PASSWORD) | {"name": f"{MARKER} unexpected"}
    await commands.send("POST", "/api/users", 500, json=unexpected, headers={"Connection": "close"})
    login = {"email": person(3)["email"], "password": PASSWORD}
    token = (await commands.send("POST", "/api/auth/login", 200, json=login))["token"]
    for wrong in ({"password": "wrong password"}, {"email": f"{MARKER}.nobody@college.edu"}):
        await commands.send("POST", "/api/auth/login", 401, json=login | wrong)
    change = {"current_password": PASSWORD, "new_password": f"{PASSWORD}!"}
    await commands.once("POST", "/api/auth/password", 200, json=change, headers={"Authorization": f"Bearer {token}"})
    await commands.send("POST", f"/api/users/{user}/password-link", 201)
    await commands.once("POST", f"/api/users/{user}/deactivate", 200)
    await commands.once("POST", f"/api/users/{user}/reactivate", 200)


async def enrolment(commands: Commands) -> list[int]:
    """Enrol, correct and search students, one by one. Return their ids."""
    ids = [
        (await commands.once("POST", "/api/students", 201, json=student(number, password=PASSWORD)))["student_id"]
        for number in (11, 12)
    ]
    path = f"/api/students/{ids[0]}"
    await commands.once("PATCH", path, 200, json=person(13, roll_number=f"{MARKER}-13"))
    await commands.once("PATCH", path, 200, json={"cgpa": "8.50"})
    await commands.send("PATCH", path, 409, json={"roll_number": f"{MARKER}-12"})
    await commands.send("POST", "/api/students", 409, json=student(12) | {"email": f"{MARKER}@college.edu"})
    await commands.send("POST", "/api/students", 409, json=student(12) | {"roll_number": f"{MARKER}-x"})
    await commands.send("POST", "/api/students", 422, json=student(14) | {"name": f"{MARKER}\0"})
    await commands.send("POST", f"/api/students/{ids[0]}/{MARKER}", 404)
    assert len(await commands.send("GET", f"/api/students?search={MARKER}", 200)) == 2
    await commands.send("GET", f"/api/students?email={MARKER}@college.edu", 400)
    await commands.send("GET", f"/api/students?after={MARKER}", 422)
    await commands.send("GET", f"/api/drives?q={MARKER}@college.edu", 400)
    await commands.send("POST", f"/api/users/{ids[0]}/password-link", 201)
    return ids


async def imports(commands: Commands) -> None:
    """Import new students, correct some, and send invalid files."""

    def file(rows: str, header: str = CSV_HEADER) -> dict[str, Any]:
        return {"files": {"file": (f"{MARKER}.csv", header + rows, "text/csv")}}

    def row(number: int, cgpa: str = "7.50") -> str:
        return f"{MARKER} {number},{MARKER}.{number}@college.edu,{MARKER}-{number},{cgpa}\n"

    path = "/api/students/import?dry_run={}&mode={}"
    await commands.once("POST", path.format("false", "insert"), 200, **file("".join(map(row, range(20, 40)))))
    changed = row(20).replace(f"{MARKER} 20", f"{MARKER} changed") + row(21, "9.00") + row(22).replace("-22", "-22b")
    tried = await commands.send("POST", path.format("true", "upsert"), 200, **file(changed + row(41, MARKER)))
    assert (tried["changed"], tried["error_count"]) == (3, 1)
    done = await commands.once("POST", path.format("false", "upsert"), 200, **file(changed + row(42)))
    assert (done["updated"], done["imported"]) == (3, 1)
    await commands.send("POST", path.format("false", "insert"), 422, **file(row(43) + row(43)))
    await commands.send("POST", path.format("false", "insert"), 422, **file(row(44), f"{MARKER},X,Y,Z\n"))
    await commands.send("POST", path.format("true", "insert"), 422, **file(row(44)), data={"mapping": MARKER})
    # A warning quotes values that do not fit their header.
    odd = f"name,email,roll_number,cgpa,10th\n{MARKER} 45,{MARKER}.45@college.edu,{MARKER}-45,7,{MARKER}\n"
    await commands.send("POST", path.format("true", "insert"), 200, **file("", odd))


async def placement(commands: Commands, ids: list[int]) -> None:
    """Let the students take part in a drive, and export everything about it."""
    drive = {**DRIVE, **EVERYONE, "company_name": COMPANY, "auto_calc": True}
    headers = {"Prefer": "wait=20"}
    drive_id = (await commands.once("POST", "/api/drives", 200, json=drive, headers=headers))["drive_id"]
    for id_ in ids:
        as_student = bearer(Role.STUDENT, id_)
        await commands.once("POST", f"/api/registrations/{drive_id}/register", 201, headers=as_student)
        await commands.send("GET", "/api/notifications/mine", 200, headers=as_student)
        await commands.send("GET", "/api/registrations/mine", 200, headers=as_student)
    coordinator = {"headers": bearer(Role.COORDINATOR, COORDINATOR_ID)}
    await commands.once("POST", f"/api/drives/{drive_id}/stop-registrations", 200, **coordinator)
    for id_, status in zip(ids, ("PRESENT", "ABSENT"), strict=True):
        mark = {"student_id": id_, "status": status}
        await commands.once("POST", f"/api/attendance/{drive_id}/mark", 200, json=mark, **coordinator)
    await commands.once("POST", f"/api/attendance/{drive_id}/publish", 200, **coordinator)
    for path in ("registrations/{}/list", "attendance/{}/list", "attendance/{}/download-csv", "drives/{}/eligibility"):
        assert MARKER in str(await commands.send("GET", f"/api/{path.format(drive_id)}", 200)), path
    for kind in ExportKind:
        for format_ in ExportFormat:
            body = {"kind": kind, "format": format_} | (
                {} if kind is ExportKind.FINISHED_DRIVES else {"drive_id": drive_id}
            )
            done = await commands.once("POST", "/api/exports", 200, json=body, headers=headers)
            file = await commands.send("GET", done["job"]["result"]["file"], 200)
            assert (MARKER.encode() in file) or format_ is ExportFormat.XLSX or kind is ExportKind.FINISHED_DRIVES
    await commands.once("POST", "/api/students/invitations", 200, json={}, headers=headers)
    await commands.once("POST", "/api/analytics/refresh", 200, headers=headers)


@pytest.mark.timeout(400)
async def test_personal_data_is_only_in_the_vault_and_two_read_tables_and_nowhere_after_erasure(
    everything: Running, own_database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Send marked personal data with every command that accepts it, and search everything that was written.

    Then erase all these people and search again, also in the stored files.
    """
    system = everything.system
    await own_database.execute(UNEXPECTED)
    async with system.client() as client:
        commands = Commands(client)
        await accounts(commands)
        ids = await enrolment(commands)
        await imports(commands)
        await placement(commands, ids)
    places = await searched(everything, own_database)
    await own_database.execute("ALTER TABLE users DROP CONSTRAINT never")

    for place in (*(f"metrics of {name}" for name in PROCESSES), *(f"log of {name}" for name in PROCESSES),
                  "log of Postgres", "log of Kafka", "traces", "statements", "table es.event", "table es.job",
                  "table public.idempotency_keys", "table public.notifications", "table public.exports"):  # fmt: skip
        assert places[place], f"there is nothing to search in {place}"
    found = holding(places, MARKER)
    assert found.keys() == ALLOWED, {place: text for place, text in found.items() if place not in ALLOWED}
    # Other data is found in these places, so the search works.
    assert {"table es.event", "table public.drives"} <= holding(places, COMPANY).keys()
    assert "metrics of api" in holding(places, "placewire_logins_total")
    assert any(place.startswith("segment placewire.drive") for place in holding(places, COMPANY))
    assert any(place.startswith("segment placewire.student") for place in holding(places, "person_version"))
    assert "CheckViolationError: SQLSTATE 23514" in places["log of api"]
    assert "violates check constraint" in places["log of Postgres"]
    assert set(holding(files(system), MARKER))
    await all_erased(everything, own_database)


PEOPLE = "SELECT user_id FROM users WHERE name ILIKE $1 OR email ILIKE $1"


async def all_erased(everything: Running, own_database: "asyncpg.Connection[asyncpg.Record]") -> None:
    system = everything.system
    people = [row["user_id"] for row in await own_database.fetch(PEOPLE, f"%{MARKER}%")]
    # Maintenance is down during the erasures. It later reads from the database what to delete.
    await asyncio.to_thread(system.start_together, *(name for name in PROCESSES if name != "maintenance"))
    async with system.client() as client:
        commands = Commands(client)
        for id_ in people:
            erased = await commands.once("DELETE", f"/api/users/{id_}/personal-data", 200)
            assert erased["already_erased"] is False
        assert await commands.send("GET", f"/api/students?search={MARKER}", 200) == []
    await asyncio.to_thread(system.start, "maintenance", EXPIRY_EVERY_S="1")
    await eventually(lambda: own_database.fetchval("SELECT count(*) = 0 FROM withdrawn_exports"))
    places = await searched(everything, own_database) | files(system)
    assert holding(places, MARKER) == {}
    assert {"table public.users", "table public.students"} <= holding(places, "erased-").keys()
    assert any(place.startswith("segment placewire") for place in holding(places, "person-erased"))
    await must_verify(everything.postgres.dsn)


async def searched(everything: Running, own_database: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    """Wait until the outbox is empty, stop every process, and return everything that was written, by place."""
    await eventually(
        lambda: own_database.fetchval("SELECT count(*) = 0 FROM es.outbox WHERE topic <> 'placewire.probe'")
    )
    places = await metrics(everything.system)
    for process in everything.system.processes.values():
        await asyncio.to_thread(process.stop, 15)
    return places | await written(everything, own_database)
