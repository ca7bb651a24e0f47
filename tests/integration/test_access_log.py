"""The access log records for a year who read a student's data, by any route. Students' own reads are not recorded."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.api.http.access import published_routes
from services.api.personal_data.access_log import FEW, Reading
from tests.conftest import Api
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import mark, posted, register, stop
from tests.support.eventually import eventually
from tests.support.exporting import asked, exporting
from tests.support.job_worker import done
from tests.support.maintenance_app import Maintenance, maintaining

Owner = asyncpg.Connection
READER = 900_002
FILE = "name,email,roll_number,cgpa\nA B,a.b@college.edu,CSV-1,8.5\n"
RECORDED = "SELECT reader_id, reader_role, operation, student_id, correlation_id FROM access_log ORDER BY id"

# Calls that show data of students: role, query, arguments, and the operation that is recorded.
ONE: dict[str, tuple[str, str, dict[str, Any], Reading]] = {
    "GET /api/students/{student_id}": ("STAFF", "", {}, Reading.STUDENT_VIEWED),
    "GET /api/students/{student_id}/registrations": ("STAFF", "", {}, Reading.STUDENT_VIEWED),
    "PATCH /api/students/{student_id}": ("HEAD", "", {"json": {"cgpa": "9.00"}}, Reading.STUDENT_CORRECTED),
    "PATCH /api/users/{user_id}": ("HEAD", "", {"json": {"department": "CS"}}, Reading.ACCOUNT_CHANGED),
    "POST /api/users/{user_id}/deactivate": ("HEAD", "", {}, Reading.ACCOUNT_CHANGED),
    "POST /api/users/{user_id}/reactivate": ("HEAD", "", {}, Reading.ACCOUNT_CHANGED),
    "GET /api/eligibility/{drive_id}/explain": ("STAFF", "?student_id={student_id}", {}, Reading.DECISION_EXPLAINED),
}
MANY: dict[str, tuple[str, str, dict[str, Any], Reading]] = {
    "GET /api/students": ("STAFF", "", {}, Reading.STUDENTS_LISTED),
    "GET /api/drives/{drive_id}/eligibility": ("HEAD", "", {}, Reading.ELIGIBLE_LISTED_AS_OF),
    "GET /api/eligibility/{drive_id}/list": ("HEAD", "", {}, Reading.ELIGIBLE_LISTED),
    "POST /api/eligibility/{drive_id}/filter": ("COORDINATOR", "", {}, Reading.ELIGIBLE_FILTERED),
    "GET /api/subfilter/{drive_id}/apply": ("COORDINATOR", "", {}, Reading.ELIGIBLE_FILTERED),
    "GET /api/registrations/{drive_id}/list": ("STAFF", "", {}, Reading.REGISTRATIONS_LISTED),
    "GET /api/attendance/{drive_id}/list": ("HEAD", "", {}, Reading.ATTENDANCE_LISTED),
    "GET /api/attendance/{drive_id}/download-csv": ("HEAD", "", {}, Reading.ATTENDANCE_DOWNLOADED),
    "POST /api/students/import": (
        "HEAD", "?mode=upsert", {"files": {"file": ("a.csv", FILE, "text/csv")}}, Reading.STUDENTS_IMPORTED,
    ),
}  # fmt: skip
# Another test covers the download of a file of students.
DOWNLOAD = "GET /api/exports/{export_id}/file"
# These return data of the caller, data that the caller just sent, or names of staff.
NOT_RECORDED = {
    "GET /api/me/data",
    "GET /api/drives/{drive_id}/history",  # names of staff
    "GET /api/users",  # names of staff
    "POST /api/students",
    "POST /api/users",
    "POST /api/auth/login",
    "POST /api/auth/password",
    "POST /api/auth/accept-invitation",
}


def property_names(schema: Any, schemas: dict[str, Any], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the property names of a schema of an OpenAPI document, also those of referenced schemas."""
    if isinstance(schema, list):
        for item in schema:
            yield from property_names(item, schemas, seen)
    if not isinstance(schema, dict):
        return
    if (name := str(schema.get("$ref", "")).rpartition("/")[2]) and name not in seen:
        yield from property_names(schemas[name], schemas, seen | {name})
    yield from schema.get("properties", {})
    for inner in schema.values():
        yield from property_names(inner, schemas, seen)


def test_each_route_that_shows_names_or_marks_is_in_a_test(api: Api) -> None:
    """A new route that shows a student's details must record each read, and be added to these tables."""
    document = api.app.openapi()
    showing = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = [operation["responses"].get(status, {}) for status in ("200", "201")]
            names = set(property_names(answers, document["components"]["schemas"]))
            if names & {"name", "email", "roll_number", "marks", "reasons"} and names & {"student_id", "user_id"}:
                showing.add(f"{method.upper()} {path}")
    assert showing
    assert showing <= ONE.keys() | MANY.keys() | NOT_RECORDED
    known = {f"{method} {path}" for path, route in published_routes(api.app) for method in route.methods or ()}
    assert known >= ONE.keys() | MANY.keys() | NOT_RECORDED | {DOWNLOAD}


async def attended(api: Api, owner: "Owner[asyncpg.Record]", count: int = FEW + 1) -> tuple[int, list[int]]:
    """Return the id of a drive, and the ids of students. The first two have registered and are marked present."""
    ids = await enrol(owner, count)
    drive_id = await posted(api)
    await register(api, drive_id, *ids[:2])
    await stop(api, drive_id)
    await mark(api, drive_id, **{f"s{id_}": "PRESENT" for id_ in ids[:2]})
    return drive_id, ids


async def call(api: Api, name: str, table: dict[str, Any], drive_id: int, student_id: int) -> Reading:
    role, query, options, reading = table[name]
    method, path = name.split(" ")
    url = (path + query).format(drive_id=drive_id, student_id=student_id, user_id=student_id)
    # The reader has no account. Without LISTEN, or just after a change, the API would look for the account.
    await eventually(api.listening)
    answer = await api._ask(method, url, role, READER, **options)
    assert answer.status_code == 200, answer.text
    recorded: Reading = reading
    return recorded


async def test_a_read_of_one_student_is_recorded_with_their_id(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    drive_id, ids = await attended(api, owner)
    for name in ONE:
        await owner.execute("DELETE FROM access_log")
        reading = await call(api, name, ONE, drive_id, ids[0])
        rows = await owner.fetch(RECORDED)
        assert [tuple(row)[:4] for row in rows] == [(READER, ONE[name][0], reading, ids[0])], name


async def test_a_list_is_recorded_once(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    drive_id, ids = await attended(api, owner)
    for name in MANY:
        await owner.execute("DELETE FROM access_log")
        reading = await call(api, name, MANY, drive_id, ids[0])
        rows = await owner.fetch(RECORDED)
        assert [tuple(row)[:4] for row in rows] == [(READER, MANY[name][0], reading, None)], name


async def test_a_search_that_finds_few_students_is_recorded_for_each(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    ids = await enrol(owner, FEW + 1)
    await api.get(f"/api/students?search=R{ids[3]}", "STAFF", READER)
    await api.get(f"/api/students?limit={FEW}", "STAFF", READER)
    await api.get("/api/students?search=nobody", "STAFF", READER)
    rows = await owner.fetch(RECORDED)
    assert [row["student_id"] for row in rows] == [ids[3], *ids[:FEW]]


async def test_the_record_has_the_correlation_id_of_the_request(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    _, ids = await attended(api, owner)
    answer = await api.get(f"/api/students?search=R{ids[-1]}", "HEAD", READER)
    rows = await owner.fetch(RECORDED)
    assert [str(row["correlation_id"]) for row in rows] == [answer.headers["x-correlation-id"]]


async def test_own_reads_and_failed_requests_are_not_recorded(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    drive_id, ids = await attended(api, owner)
    own_reads = [
        (f"/api/eligibility/{drive_id}/explain", ids[0]),
        (f"/api/eligibility/{drive_id}/check", ids[0]),
        ("/api/registrations/mine", ids[0]),
        ("/api/drives", ids[0]),
    ]
    for path, student in own_reads:
        assert (await api.get(path, "STUDENT", student)).status_code == 200, path
    unknown = await api.get(f"/api/eligibility/{drive_id}/explain?student_id=999999", "HEAD", READER)
    refused = await api.patch("/api/students/999999", "HEAD", READER, json={"cgpa": "1"})
    staff = await api.patch("/api/users/999998", "HEAD", READER, json={"department": "CS"})
    assert [answer.status_code for answer in (unknown, refused, staff)] == [404, 404, 404]
    assert await owner.fetch(RECORDED) == []


@pytest.mark.parametrize(("kind", "recorded"), [("registrations", 1), ("finished_drives", 0)])
async def test_a_download_is_recorded_if_the_file_shows_students(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, kind: str, recorded: int
) -> None:
    drive_id, _ = await attended(api, owner)
    body = {"kind": kind} | ({"drive_id": drive_id} if kind == "registrations" else {})
    export_id = (await asked(api, **body))["export_id"]
    async with exporting(database_url, tmp_path) as worker:
        await done(worker, export_id)
    answer = await api.get(f"/api/exports/{export_id}/file", "HEAD", READER)
    not_modified = await api.get(
        f"/api/exports/{export_id}/file", "HEAD", READER, headers={"If-None-Match": answer.headers["etag"]}
    )
    assert (answer.status_code, not_modified.status_code) == (200, 304)
    rows = await owner.fetch(RECORDED)
    assert [row["operation"] for row in rows] == [Reading.EXPORT_DOWNLOADED] * recorded


async def test_a_read_that_cannot_be_recorded_fails(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    drive_id, ids = await attended(api, owner)
    await owner.execute("REVOKE INSERT ON access_log FROM placewire_api")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.get(f"/api/eligibility/{drive_id}/list", "HEAD", READER)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.get(f"/api/eligibility/{drive_id}/explain?student_id={ids[0]}", "HEAD", READER)


PARTITIONS = """
SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'access_log'::regclass ORDER BY 1
"""
INSERT = """
INSERT INTO access_log (at, reader_id, reader_role, operation, student_id, correlation_id)
SELECT $1::timestamptz + i * interval '1 day', 2, 'HEAD', 'students.listed', NULL, uuidv7()
  FROM generate_series(0, $2) i
"""


async def partitions(owner: "Owner[asyncpg.Record]") -> list[str]:
    return [row["relname"] for row in await owner.fetch(PARTITIONS)]


async def maintained(maintenance: Maintenance, now: datetime) -> int:
    return (await maintenance.due.once(now))["access_log"]


async def test_partitions_are_created_ahead_and_dropped_after_a_year(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    assert len(await partitions(owner)) == 4  # this month, the next two months, and the default partition
    async with maintaining(database_url, tmp_path) as maintenance:
        assert await maintained(maintenance, datetime(2030, 11, 30, 23, 59, tzinfo=UTC)) == 0
        expected = ["access_log_2030_11", "access_log_2030_12", "access_log_2031_01"]
        assert set(expected) <= set(await partitions(owner))
        await owner.execute(INSERT, datetime(2030, 11, 20, tzinfo=UTC), 20)
        assert await owner.fetchval("SELECT count(*) FROM access_log_2030_11") == 11
        assert await maintained(maintenance, datetime(2031, 11, 30, tzinfo=UTC)) == 0
        assert await maintained(maintenance, datetime(2031, 12, 2, tzinfo=UTC)) == 11
        assert await owner.fetchval("SELECT count(*) FROM access_log") == 10
        assert "access_log_2030_11" not in await partitions(owner)


async def test_a_missing_partition_loses_nothing(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """Rows of a month without a partition go to the default one. The next cleanup creates the month and moves them."""
    for name in await partitions(owner):
        if name != "access_log_rest":
            await owner.execute(f"DROP TABLE {name}")
    ids = await enrol(owner, 1)
    assert (await api.get("/api/students", "HEAD", READER)).status_code == 200
    await owner.execute(INSERT, datetime(2020, 1, 1, tzinfo=UTC), 4)
    assert await owner.fetchval("SELECT count(*) FROM access_log_rest") == 6
    async with maintaining(database_url, tmp_path) as maintenance:
        assert await maintained(maintenance, datetime.now(UTC)) == 5
    assert await owner.fetchval("SELECT count(*) FROM access_log_rest") == 0
    assert [row["student_id"] for row in await owner.fetch(RECORDED)] == ids
    assert len(await partitions(owner)) == 4


async def test_cleanup_gives_up_while_a_long_read_holds_the_table(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    """Cleanup gives up its lock request after 250 ms, so reads wait at most that long. The next cleanup succeeds."""
    await enrol(owner, 1)
    async with maintaining(database_url, tmp_path) as maintenance:
        await maintained(maintenance, datetime(2030, 11, 1, tzinfo=UTC))
        reader = await asyncpg.connect(database_url)
        async with reader.transaction():
            await reader.fetch(RECORDED)
            dropped, answer = await asyncio.gather(
                maintained(maintenance, datetime(2040, 1, 1, tzinfo=UTC)), api.get("/api/students", "HEAD", READER)
            )
        await reader.close()
        assert (dropped, answer.status_code) == (0, 200)
        assert "access_log_2030_11" in await partitions(owner)
        await maintained(maintenance, datetime(2040, 1, 1, tzinfo=UTC))
        assert "access_log_2030_11" not in await partitions(owner)


async def test_only_the_api_may_read_and_append_to_the_access_log(owner: "Owner[asyncpg.Record]") -> None:
    granted = await owner.fetch("""
        SELECT grantee::text, string_agg(privilege_type::text, ',' ORDER BY privilege_type) AS rights
          FROM information_schema.role_table_grants WHERE table_name LIKE 'access_log%' AND grantee LIKE 'placewire%'
         GROUP BY 1""")
    assert [tuple(row) for row in granted] == [("placewire_api", "INSERT,SELECT")]
