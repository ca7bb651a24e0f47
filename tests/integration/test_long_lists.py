"""Long lists: Postgres writes the JSON, other requests do not wait, and a slow reader holds no database connection."""

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from contracts.users import Role
from devstack.ports import LOOPBACK
from services.api.http.limits import Admission
from services.api.http.long_lists import LongLists, copy_array
from services.api.http.presentation import decimal_text, instant_text
from services.api.http.request_scope import RequestScope
from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.eventually import eventually
from tests.support.live_server import served
from tests.support.loop_lag import loop_lag
from tests.support.sizes import FULL, sized
from tests.support.system import bearer

pytestmark = [pytest.mark.damages, pytest.mark.timeout(900 if FULL else 240)]

BLOCKED_S = 0.05
MANY = sized(small=30_000, full=1_000_000)
# Fills the read tables directly, because the tests only read. The names need escaping in JSON or COPY.
FILL = """
WITH u AS (
    INSERT INTO users (user_id, name, email, role, department, person_version, password_version, access_changed_at,
                       created_at)
    SELECT i, (ARRAY['Ravi', 'O"Neil \\ \\n', E'tab\\there\\nline', E'\\x01\\x02,', 'Zoë 李 🎓', ','])[1 + i % 6] || i,
           's' || i || '@college.edu', 'STUDENT', NULL, 1, 0, now(), now() FROM generate_series(1, $1::integer) i
), s AS (
    INSERT INTO students (student_id, roll_number, branch, batch_year, tenth_percent, twelfth_percent, cgpa,
                          active_backlogs)
    SELECT i, 'R' || i, CASE WHEN i % 7 > 0 THEN 'CSE' END, 2027, 80, 70.5, 6 + i % 4, 0
      FROM generate_series(1, $1::integer) i
), r AS (
    INSERT INTO registrations (registration_id, drive_id, student_id, registered_at)
    SELECT i, 1, i, '2026-11-24T02:39:19.365999Z' FROM generate_series(1, $1::integer) i
)
INSERT INTO attendance (attendance_id, drive_id, student_id, status)
SELECT i, 1, i, 'PRESENT' FROM generate_series(1, $1::integer) i
"""
EVALUATED = """
INSERT INTO evaluations (drive_id, drive_version, job_id, applied, eligible, selected, evaluated_at)
VALUES (1, 1, gen_random_uuid(), true, 40, 0, '2026-11-24T02:39:19.365999Z')
"""
END_ITS_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'placewire_api' AND datname = $1
"""
READ = {
    "/api/eligibility/1/list": ("GET", "COORDINATOR"),
    "/api/subfilter/1/apply": ("GET", "COORDINATOR"),
    "/api/registrations/1/list": ("GET", "STAFF"),
    "/api/attendance/1/list": ("GET", "HEAD"),
    "/api/eligibility/1/filter": ("POST", "COORDINATOR"),
}

Owner = asyncpg.Connection


async def fill(api: Api, owner: "Owner[asyncpg.Record]", count: int) -> None:
    assert (await api.post("/api/drives", json=DRIVE)).status_code == 201
    await owner.execute(FILL, count)
    await owner.execute("ANALYZE users, students, registrations, attendance")


@pytest_asyncio.fixture
async def port(api: Api) -> AsyncIterator[int]:
    async with served(api.app) as port:
        yield port


def read_all(port: int, path: str, method: str, role: str) -> bytes:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=200)
    try:
        connection.request(method, path, headers=bearer(Role(role)))
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()


def open_request(port: int, path: str, role: str) -> socket.socket:
    """Return a connection that has sent a request, and does not read the answer."""
    connection = socket.create_connection((LOOPBACK, port))
    token = bearer(Role(role))["Authorization"]
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n".encode()
    )
    return connection


async def test_lists_have_the_fields_of_the_contract(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await fill(api, owner, 40)
    await owner.execute(EVALUATED)
    rows = await owner.fetch(
        "SELECT * FROM users JOIN students ON student_id = user_id JOIN registrations USING (student_id) ORDER BY 1"
    )
    listed = (await api.get("/api/eligibility/1/list", "COORDINATOR")).json()
    assert listed == [
        {
            "id": row["student_id"], "drive_id": 1, "student_id": row["student_id"], "is_eligible": True,
            "filtered_by": None, "filtered_at": "2026-11-24T02:39:19.365Z", "name": row["name"], "email": row["email"],
            "cgpa": decimal_text(row["cgpa"]), "roll_number": row["roll_number"], "branch": row["branch"],
            "active_backlogs": 0, "tenth_percent": "80.00", "twelfth_percent": "70.50", "diploma_percent": None,
        }
        for row in rows
    ]  # fmt: skip
    registered = (await api.get("/api/registrations/1/list", "STAFF")).json()
    assert registered == [
        {
            "registration_id": row["registration_id"], "drive_id": 1, "student_id": row["student_id"],
            "registered_at": instant_text(row["registered_at"]), "name": row["name"], "email": row["email"],
        }
        for row in rows
    ]  # fmt: skip
    assert registered[0]["registered_at"] == "2026-11-24T02:39:19.365Z"
    marked = (await api.get("/api/attendance/1/list")).json()
    assert marked[5] == {
        "attendance_id": 6, "drive_id": 1, "student_id": 6, "status": "PRESENT", "name": rows[5]["name"]
    }  # fmt: skip
    filtered = (await api.post("/api/eligibility/1/filter", "COORDINATOR", json={"min_cgpa": "9"})).json()
    assert filtered == {"filtered_count": 10, "studentIds": [row["student_id"] for row in rows if row["cgpa"] >= 9]}
    for path in ("eligibility", "registrations", "attendance"):
        assert (await api.get(f"/api/{path}/99/list", "COORDINATOR")).json() == []
    assert (await api.post("/api/eligibility/99/filter", "COORDINATOR")).status_code == 404


async def test_reading_very_long_lists_does_not_block_the_event_loop(
    api: Api, owner: "Owner[asyncpg.Record]", port: int
) -> None:
    await fill(api, owner, MANY)
    for path, (method, role) in READ.items():
        async with loop_lag() as lag:
            body = await asyncio.to_thread(read_all, port, path, method, role)
        content = orjson.loads(body)
        students = content if isinstance(content, list) else content.get("students", content.get("studentIds"))
        assert len(students) == MANY
        assert lag.worst_s < BLOCKED_S, path


async def test_publishing_to_very_many_students_does_not_block_the_event_loop(
    api: Api, owner: "Owner[asyncpg.Record]", port: int
) -> None:
    await fill(api, owner, MANY)
    body = json.dumps({"selected_students": [*range(MANY, 0, -1), 1, 1]}).encode()
    headers = bearer(Role.COORDINATOR) | {"Content-Type": "application/json", "Idempotency-Key": "many"}

    def publish() -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=200)
        with closing(connection):
            connection.request("POST", "/api/drives/1/publish", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    async with loop_lag() as lag:
        status, answer = await asyncio.to_thread(publish)
    assert status in (200, 202), answer
    assert lag.worst_s < BLOCKED_S
    assert await owner.fetchval("SELECT count(*) FROM requested_selection WHERE drive_id = 1") == MANY
    assert (await asyncio.to_thread(publish))[0] == status  # the key repeats the answer


async def test_a_slow_reader_holds_no_database_connection_and_gets_the_whole_list(
    api: Api, owner: "Owner[asyncpg.Record]", port: int
) -> None:
    await fill(api, owner, MANY)
    with ExitStack() as opened:
        readers = [
            opened.enter_context(closing(open_request(port, "/api/eligibility/1/list", "COORDINATOR")))
            for _ in range(4)
        ]
        await read_slowly(api, owner, readers)
    lists = api.app.state.context.long_lists

    async def all_closed() -> bool:
        return not lists.open

    await eventually(all_closed)
    assert len((await api.get("/api/attendance/1/list")).json()) == MANY


async def read_slowly(api: Api, owner: "Owner[asyncpg.Record]", readers: list[socket.socket]) -> None:
    """Wait until Postgres has written all lists. Then read two of them to the end, and leave the others unread."""

    async def all_written() -> bool:
        waiting = await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT%'")
        return not waiting and api.app.state.context.long_lists.open == len(readers) and api.database.pool_use()[0] == 0

    await eventually(all_written, within_s=120)

    def rest(reader: socket.socket) -> int:
        answer = http.client.HTTPResponse(reader)
        answer.begin()
        return len(orjson.loads(answer.read()))

    assert await asyncio.gather(*(asyncio.to_thread(rest, reader) for reader in readers[:2])) == [MANY, MANY]


async def test_lists_and_connections_are_released_when_the_client_disconnects(
    api: Api, owner: "Owner[asyncpg.Record]", port: int
) -> None:
    await fill(api, owner, sized(small=8_000, full=20_000))
    lists = api.app.state.context.long_lists
    for round_ in range(40):
        reader = open_request(port, "/api/eligibility/1/list", "COORDINATOR")
        await asyncio.sleep(0.004 * (round_ % 20))
        if round_ % 2:
            await asyncio.to_thread(reader.recv, 100)
        reader.close()

    async def all_released() -> bool:
        return not lists.open and api.database.pool_use()[0] == 0

    await eventually(all_released)
    async with asyncio.timeout(20):
        for _ in range(lists.at_once + 1):
            assert (await api.get("/api/registrations/1/list")).status_code == 200


async def test_an_error_before_the_first_byte_gets_a_problem_response(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"""ALTER ROLE placewire_api IN DATABASE "{name}" SET lock_timeout = '100ms'""")
    await owner.execute(END_ITS_CONNECTIONS, name)
    async with owner.transaction():
        await owner.execute("LOCK TABLE attendance IN ACCESS EXCLUSIVE MODE")

        async def contended() -> bool:  # true after the pool has replaced its ended connections
            answer = await api.get("/api/attendance/1/list")
            assert answer.headers["content-type"] == "application/problem+json"
            return answer.status_code == 503 and "Too many people" in answer.json()["message"]

        await eventually(contended)
    assert (await api.get("/api/attendance/1/list")).json() == []
    assert not api.app.state.context.long_lists.open


async def test_an_error_after_the_first_byte_aborts_the_connection(api: Api) -> None:
    lists = LongLists(api.database, at_once=1)

    async def produce(connection: Any, write: Any) -> None:
        await copy_array(connection, write, "SELECT ',' || i / (5000000 - i) FROM generate_series(1, 6000000) i")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (await lists.answer(produce))(scope, receive, send)

    gate = api.app.state.gate
    with capture_logs() as logs:
        async with served(RequestScope(app, admission=Admission(10), route_paths={}, gate=gate)) as port:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                await asyncio.to_thread(read_all, port, "/", "GET", "HEAD")
    aborted = [entry for entry in logs if entry["event"] == "response.aborted"]
    assert len(aborted) == 1
    assert aborted[0]["reason"] == "DivisionByZeroError: SQLSTATE 22012"
    assert not lists.open


async def test_too_many_concurrent_lists_are_refused(api: Api) -> None:
    lists = api.app.state.context.long_lists
    lists.open = 32
    answer = await api.get("/api/attendance/1/list")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "long lists" in answer.json()["message"]
    lists.open = 0
    assert (await api.get("/api/attendance/1/list")).status_code == 200
