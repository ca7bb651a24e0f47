"""The import of a file of students imports all rows or none."""

import asyncio
import io
import json
import random
from collections.abc import Iterable
from typing import Any

import asyncpg
import httpx
import openpyxl
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cursor
from contracts.students import AcademicRecord, StudentEnrolled, StudentsImported
from services.api.students.import_files.vocabulary import COLUMNS
from tests.conftest import Api

Owner = "asyncpg.Connection[asyncpg.Record]"

HEADER = "name,email,roll no,branch,batch,ssc_p,hsc_p,CGPA,backlogs,dept"
IMPORT = "/api/students/import"


def row(number: int, **changes: str) -> str:
    cells = {
        "name": f"Student {number}", "email": f"s{number}@college.edu", "roll_number": f"R{number}", "branch": "CSE",
        "batch_year": "2026", "tenth": "91.5", "twelfth": "", "cgpa": "7.25", "backlogs": "0", "department": "",
    }  # fmt: skip
    return ",".join((cells | changes).values())


def file_of(rows: Iterable[str]) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


async def send_file(
    api: Api,
    content: bytes,
    *,
    dry_run: bool = False,
    mapping: dict[str, str] | None = None,
    key: str | None = None,
    name: str = "students.csv",
) -> httpx.Response:
    return await api.post(
        IMPORT,
        params={"dry_run": str(dry_run).lower()},
        files={"file": (name, content)},
        data={"mapping": json.dumps(mapping)} if mapping else {},
        headers={"Idempotency-Key": key} if key else {},
    )


async def changes(owner: Any) -> dict[str, int]:
    """Return the number of rows of each table that an import may write."""
    tables = ("es.event", "es.stream", "es.outbox", "users", "students", "idempotency_keys")
    return {table: await owner.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def test_a_dry_run_changes_nothing(api: Api, owner: Any) -> None:
    before = await changes(owner)
    answer = await api.post(IMPORT, files={"file": ("students.csv", file_of(map(row, range(3))))})
    assert answer.status_code == 200
    report = answer.json()
    assert {column["used_as"] for column in report["columns"]} == set(COLUMNS) - {"diploma_percent"}
    assert ["every student has 0" in warning for warning in report["warnings"]] == [True]
    assert {name: report[name] for name in ("import_id", "dry_run", "mode", "rows", "valid", "new", "imported")} == {
        "import_id": None, "dry_run": True, "mode": "insert", "rows": 3, "valid": 3, "new": 3, "imported": 0,
    }  # fmt: skip
    assert (report["error_count"], report["errors"], report["changes"]) == (0, [], [])
    assert await changes(owner) == before


async def test_imported_students_have_the_values_of_the_file(api: Api) -> None:
    answer = await send_file(api, file_of([row(1), row(2, tenth="", cgpa="10", backlogs="", department="Science")]))
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert {name: report[name] for name in ("dry_run", "rows", "valid", "imported", "updated", "errors")} == {
        "dry_run": False, "rows": 2, "valid": 2, "imported": 2, "updated": 0, "errors": [],
    }  # fmt: skip
    first, second = (await api.get("/api/students")).json()
    assert (first["name"], first["tenth_percent"], first["twelfth_percent"], first["cgpa"]) == (
        "Student 1", "91.50", None, "7.25",
    )  # fmt: skip
    assert (second["tenth_percent"], second["cgpa"], second["active_backlogs"]) == (None, "10.00", 0)
    assert second["department"] == "Science"


async def test_import_and_enrolment_record_the_same_event(api: Api) -> None:
    await send_file(api, file_of([row(1, twelfth="70")]))
    details = {"name": "Student 1", "email": "x@college.edu", "roll_number": "X", "branch": "CSE", "batch_year": 2026}
    marks = {"tenth_percent": 91.5, "twelfth_percent": 70, "cgpa": "7.25"}
    single = (await api.post("/api/students", json=details | marks)).json()["student_id"]
    async with api.database.connection() as connection:
        log = [recorded for _, recorded in await event_store.read_log(connection, Cursor(), limit=10)]
    imported, summary, enrolled = log
    assert imported.data == StudentEnrolled(
        student_id=imported.data["student_id"],
        person_version=1,
        record=AcademicRecord(branch="CSE", batch_year=2026, **marks_of(imported.data)),
    ).model_dump(mode="json")
    assert imported.data | {"student_id": single} == enrolled.data
    assert imported.metadata == summary.metadata | {"causation_id": str(summary.id)}
    assert (imported.version, imported.stream) == (1, f"student-{imported.data['student_id']}")


def marks_of(data: dict[str, Any]) -> dict[str, Any]:
    assert [data["record"][name] for name in ("tenth_percent", "twelfth_percent", "cgpa")] == ["91.50", "70.00", "7.25"]
    return {name: data["record"][name] for name in ("tenth_percent", "twelfth_percent", "cgpa")}


async def test_the_event_of_an_import_has_the_count_and_checksum_of_its_students(api: Api, owner: Any) -> None:
    report = (await send_file(api, file_of(map(row, range(25_000))))).json()
    async with api.database.connection() as connection:
        (import_event,) = await event_store.read(connection, f"import-{report['import_id']}")
    digest = await owner.fetchval("SELECT bit_xor(hashint8extended(student_id, 0))::text FROM students")
    assert isinstance(import_event.event, StudentsImported)
    assert (import_event.event.count, import_event.event.digest) == (25_000, digest)
    assert await changes(owner) == {
        "es.event": 25_001, "es.stream": 25_001, "es.outbox": 1, "users": 25_000, "students": 25_000,
        "idempotency_keys": 0,
    }  # fmt: skip
    assert await owner.fetchval("SELECT count(DISTINCT (tx, xid)) FROM es.event WHERE tx = xid") == 1


WRONG = [
    ({"name": ""}, "name", "is missing"),
    ({"email": ""}, "email", "is missing"),
    ({"email": "nobody"}, "email", "'nobody' is not an e-mail address"),
    ({"roll_number": " "}, "roll_number", "is missing"),
    ({"roll_number": "x" * 65}, "roll_number", "is longer than 64 characters"),
    ({"name": "x" * 1_000_000}, None, "has a cell that is far too long; perhaps a quote before it is not closed"),
    ({"name": "x" * 2_000}, "name", "is longer than 200 characters"),
    ({"tenth": "101"}, "tenth_percent", "'101' is not a number with at most two decimals from 0 to 100"),
    ({"tenth": "NaN"}, "tenth_percent", "'NaN' is not a number with at most two decimals from 0 to 100"),
    ({"twelfth": "-1"}, "twelfth_percent", "'-1' is not a number with at most two decimals from 0 to 100"),
    ({"twelfth": "1e1"}, "twelfth_percent", "'1e1' is not a number with at most two decimals from 0 to 100"),
    ({"twelfth": "\u0661\u0662"}, "twelfth_percent", "is not a number"),
    ({"cgpa": "abc"}, "cgpa", "'abc' is not a number with at most two decimals from 0 to 10"),
    ({"cgpa": "7.555"}, "cgpa", "'7.555' is not a number with at most two decimals from 0 to 10"),
    ({"cgpa": "10.01"}, "cgpa", "'10.01' is not a number with at most two decimals from 0 to 10"),
    ({"backlogs": "-1"}, "active_backlogs", "'-1' is not a whole number from 0 to 1000"),
    ({"backlogs": "1.5"}, "active_backlogs", "'1.5' is not a whole number from 0 to 1000"),
    ({"batch_year": "26"}, "batch_year", "'26' is not a whole number from 1900 to 2200"),
    ({"branch": "a\0b"}, "branch", "has a NUL byte in it"),
    ({"department": "more,cells"}, None, "has 11 cells; the header has 10"),
    ({"email": "s1@college.edu"}, "email", "is the same as in line 2"),
    ({"roll_number": "R1"}, "roll_number", "is the same as in line 2"),
    ({"email": "asha@college.edu"}, "email", "is on record already"),
    ({"roll_number": "A"}, "roll_number", "is on record already"),
]


@pytest.mark.parametrize(("wrong", "column", "reason"), WRONG)
async def test_a_wrong_row_is_reported_and_nothing_is_imported(
    api: Api, owner: Any, wrong: dict[str, str], column: str | None, reason: str
) -> None:
    await api.post("/api/students", json={"name": "Asha", "email": "asha@college.edu", "roll_number": "A"})
    before = await changes(owner)
    content = file_of([row(1), row(2, **wrong), row(3)])
    dry_run = await send_file(api, content, dry_run=True)
    assert dry_run.status_code == 200, dry_run.text
    report = dry_run.json()
    (error,) = report["errors"]
    assert (error["line"], error["column"]) == (3, column)
    assert reason in error["reason"]
    assert (report["rows"], report["valid"], report["error_count"]) == (3, 2, 1)
    refused = await send_file(api, content)
    assert refused.status_code == 422
    assert refused.json()["errors"] == report["errors"]
    assert refused.json()["message"].startswith("1 of 3 rows cannot be imported, so nothing was changed. The first")
    assert await changes(owner) == before


@pytest.mark.parametrize(("values", "status"), [(["8.10", "71"], 200), (["82", "71"], 422), (["71"], 422)])
async def test_a_dry_run_refuses_a_column_that_does_not_fit_and_reports_a_row_that_is_wrong(
    api: Api, values: list[str], status: int
) -> None:
    content = file_of(row(number, cgpa=value) for number, value in enumerate(values, 1))
    response = await send_file(api, content, dry_run=True)
    assert (response.status_code, (await send_file(api, content)).status_code) == (status, 422)
    (error,) = response.json()["errors"]
    if status == 200:
        assert (error["line"], error["column"]) == (3, "cgpa")
    else:
        assert (error["column"], error["header"]) == ("cgpa", "CGPA")
        assert "a CGPA is at most 10" in error["reason"]
        mapped = await send_file(api, content, dry_run=True, mapping={"cgpa": "CGPA"})
        assert (mapped.status_code, mapped.json()["error_count"]) == (200, len(values))


async def test_line_numbers_of_errors_are_those_of_the_file(api: Api) -> None:
    content = file_of([row(1, name='"two\nlines"'), "", row(2, cgpa="11"), row(3, name="", cgpa="x")])
    errors = (await send_file(api, content, dry_run=True)).json()["errors"]
    assert [(error["line"], error["column"]) for error in errors] == [(5, "cgpa"), (6, "cgpa"), (6, "name")]


async def test_at_most_a_thousand_errors_are_listed_and_all_are_counted(api: Api) -> None:
    report = (await send_file(api, file_of(row(n, cgpa="7.555") for n in range(1_500)), dry_run=True)).json()
    assert (len(report["errors"]), report["error_count"], report["valid"]) == (1_000, 1_500, 0)
    assert report["errors"][-1]["line"] == 1_001


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty"),
        (HEADER.encode(), "a header and no rows"),
        (b"name,email\nAsha,a@b\n", "no column for roll_number"),
        ("name,email,usn\nJosé,a@b,1\n".encode("latin-1"), "Line 2 is not UTF-8"),
        (b"%PDF-1.7\n", "neither CSV nor XLSX"),
    ],
)
async def test_an_unusable_file_is_refused(api: Api, owner: Any, content: bytes, message: str) -> None:
    before = await changes(owner)
    for dry_run in (True, False):
        answer = await send_file(api, content, dry_run=dry_run)
        assert answer.status_code == 422
        assert message in answer.json()["message"]
    assert await changes(owner) == before


@pytest.mark.parametrize(
    ("request_", "status", "expected"),
    [
        ({"data": {"mapping": "{}"}, "files": {"other": b""}}, 422, "Unknown field: other. Known fields: file,"),
        ({"files": {"file": b"x"}, "data": {"mapping": "{"}}, 422, "mapping is not valid JSON"),
        ({"files": {"file": b"x"}, "data": {"mapping": '["cgpa"]'}}, 422, "mapping must be a JSON object"),
        ({"files": [("file", b"x"), ("file", b"y")]}, 422, "Given more than once: file"),
        ({"json": {}}, 415, "multipart/form-data"),
    ],
)
async def test_the_error_of_a_wrong_request_names_the_problem(
    api: Api, request_: dict[str, Any], status: int, expected: str
) -> None:
    answer = await api.post(IMPORT, **request_)
    assert (answer.status_code, expected in answer.json()["message"]) == (status, True), answer.text


async def test_columns_can_be_mapped(api: Api) -> None:
    content = b"who;where;which;points\nAsha;a@b;1;seven\nRavi;r@b;2;8,5\n"
    mapping = {"name": "Who", "email": "where", "roll_number": "which", "cgpa": "points"}
    report = (await send_file(api, content, dry_run=True, mapping=mapping)).json()
    assert [(error["line"], error["column"]) for error in report["errors"]] == [(2, "cgpa")]


async def test_a_raw_csv_body_is_accepted(api: Api) -> None:
    answer = await api.post(IMPORT, content=file_of([row(1)]), headers={"Content-Type": "text/csv; charset=utf-8"})
    assert answer.json()["valid"] == 1


async def test_an_xlsx_is_imported(api: Api) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Name", "Email", "USN", "CGPA", "10th", "Year"])
    book.active.append(["Asha", "a@b", 21001, 7.55, "91.5", 2026])
    book.active.append(["Ravi", "r@b", "21002", None, 88, None])
    content = io.BytesIO()
    book.save(content)
    assert (await send_file(api, content.getvalue(), name="students.xlsx")).json()["imported"] == 2
    asha, ravi = (await api.get("/api/students")).json()
    assert (asha["roll_number"], asha["cgpa"], asha["tenth_percent"], asha["batch_year"]) == (
        "21001", "7.55", "91.50", 2026,
    )  # fmt: skip
    assert (ravi["cgpa"], ravi["tenth_percent"], ravi["batch_year"]) == (None, "88.00", None)


async def test_a_repeated_idempotency_key_imports_once_and_gets_the_same_answer(api: Api, owner: Any) -> None:
    content = file_of(map(row, range(10)))
    first, *others = await asyncio.gather(*(send_file(api, content, key="one") for _ in range(3)))
    repeated = await send_file(api, content, key="one")
    assert {answer.text for answer in (*others, repeated)} == {first.text}
    assert first.json()["imported"] == 10
    assert (await changes(owner))["students"] == 10
    refused = await send_file(api, file_of(map(row, range(11))), key="one")
    assert (refused.status_code, "Idempotency-Key" in refused.json()["message"]) == (422, True)


async def test_a_refused_import_does_not_use_up_its_key(api: Api) -> None:
    assert (await send_file(api, file_of([row(1, cgpa="x")]), key="one")).status_code == 422
    assert (await send_file(api, file_of([row(1)]), key="one")).status_code == 200


@pytest.mark.damages  # the test inserts the other student without an event
async def test_an_import_is_rolled_back_if_a_student_was_enrolled_meanwhile(api: Api, owner: Any) -> None:
    content = file_of(map(row, range(2_000)))
    connection: asyncpg.Connection[asyncpg.Record] = owner
    async with connection.transaction():
        await owner.execute(
            "INSERT INTO users (user_id, name, email, role, person_version, access_changed_at, created_at) "
            "VALUES (nextval('user_id_seq'), 'x', 's1999@college.edu', 'STUDENT', 1, now(), now())"
        )
        importing = asyncio.create_task(send_file(api, content))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not await owner.fetchval(waits):
            await asyncio.sleep(0.02)
            await owner.execute("SELECT pg_stat_clear_snapshot()")
    answer = await importing
    assert answer.status_code == 409
    assert "Nothing was changed" in answer.json()["message"]
    counts = await changes(owner)
    assert (counts["es.event"], counts["students"], counts["users"]) == (0, 0, 1)


async def test_concurrent_imports_do_not_affect_each_other(api: Api) -> None:
    files = [file_of(row(n) for n in range(start, start + 500)) for start in range(0, 3_000, 500)]
    answers = await asyncio.gather(*(send_file(api, content) for content in files))
    assert [answer.json()["imported"] for answer in answers] == [500] * 6


async def test_the_staging_table_is_dropped_after_each_import(api: Api, owner: Any) -> None:
    await send_file(api, file_of([row(1)]))
    await send_file(api, file_of([row(1, cgpa="x")]))
    await send_file(api, b"name,email\n")
    assert await owner.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'import_row'") == 0


async def test_accepted_rows_agree_with_the_contract(api: Api) -> None:
    """Values that the SQL checks accept are valid for ``AcademicRecord``, so readers of the event can read them."""
    random_ = random.Random(7)
    marks = ["", "0", "00", "7", "7.5", "7.50", "7.500", "100", "100.00", "100.01", "10", "10.00", "9.999", " 8 ", "+1"]
    whole = ["", "0", "3", "3.0", "1000", "1001", "2026", "2026.0", "1900", "2201"]
    rows = [
        row(
            n,
            tenth=random_.choice(marks),
            twelfth=random_.choice(marks),
            cgpa=random_.choice(marks),
            backlogs=random_.choice(whole),
            batch_year=random_.choice(whole),
        )
        for n in range(200)
    ]
    years = {"batch_year": "batch"}  # some of the values are no years, so the column must be named
    report = (await send_file(api, file_of(rows), dry_run=True, mapping=years)).json()
    wrong = {error["line"] for error in report["errors"]}
    good = [text for line, text in enumerate(rows, start=2) if line not in wrong]
    assert (await send_file(api, file_of(good), mapping=years)).json()["imported"] == len(good) > 0
    async with api.database.connection() as connection:
        log = await event_store.read_log(connection, Cursor(), limit=1_000)
    assert all(recorded.event.model_dump(mode="json") == recorded.data for _, recorded in log)


async def test_a_connection_lost_midway_is_reported_and_nothing_is_imported(api: Api, owner: Any) -> None:
    await owner.execute("BEGIN; LOCK TABLE students IN SHARE MODE")
    importing = asyncio.create_task(send_file(api, file_of(map(row, range(10)))))
    kill = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE wait_event_type = 'Lock' AND datname = current_database() AND usename = 'placewire_api'
    """
    while not await owner.fetchval(kill):
        await asyncio.sleep(0.02)
        await owner.execute("SELECT pg_stat_clear_snapshot()")
    await owner.execute("ROLLBACK")
    assert (await importing).status_code == 503
    assert (await changes(owner))["es.event"] == 0
    assert (await send_file(api, file_of(map(row, range(10))))).json()["imported"] == 10
