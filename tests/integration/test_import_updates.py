"""An import with ``mode=upsert`` updates students on record, and a dry run lists the changes."""

import asyncio
import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from chassis.eventstore import event_store
from contracts.students import StudentRecordRevised, StudentsImported
from contracts.users import Role, UserDetailsRevised
from services.api.users import sql as users
from services.api.users.decider import Person
from tests.conftest import Api
from tests.integration.test_reevaluation import FROM_SCRATCH, drive, queued, selected
from tests.integration.test_student_import import IMPORT, changes
from tests.support.accounts import add_user
from tests.support.bulk_students import enrol
from tests.support.job_worker import done, working
from tests.support.live_server import served
from tests.support.sizes import sized
from tests.support.system import bearer

pytestmark = pytest.mark.usefixtures("no_polls")

Owner = asyncpg.Connection
MANY = sized(small=6_000, full=25_000)  # more than one batch

HEADER = "name,email,roll_number,branch,batch_year,tenth_percent,twelfth_percent,diploma_percent,cgpa,active_backlogs"
FIRST = (
    HEADER
    + "\nAsha,asha@college.edu,R1,CSE,2026,80.5,77,,8.1,0\nRavi,ravi@college.edu,R2,ECE,2026,80.5,,66,7.4,1"
    + "\nMeera,meera@college.edu,R3,,2027,,,,,2"
)
ON_RECORD = "is on record already: remove the row, or send mode=upsert to update students"
REEVALUATIONS = """
SELECT stream_id, data -> 'students' AS students FROM es.event
 WHERE type = 'placewire.drive.reevaluation-requested.v1' ORDER BY position
"""


async def send_file(
    api: Api, content: str, mode: str | None = "upsert", *, dry_run: bool = False, key: str | None = None
) -> httpx.Response:
    return await api.post(
        IMPORT,
        params={"dry_run": str(dry_run).lower()},
        files={"file": ("students.csv", content.encode())},
        data={"mode": mode} if mode else {},
        headers={"Idempotency-Key": key} if key else {},
    )


async def imported(api: Api, content: str, mode: str | None = "upsert", **options: Any) -> dict[str, Any]:
    answer = await send_file(api, content, mode, **options)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def students(api: Api) -> dict[str, dict[str, Any]]:
    """Return the students by roll number."""
    return {student["roll_number"]: student for student in (await api.get("/api/students")).json()}


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    """Return the numbers of new, changed, unchanged, imported and updated students."""
    return tuple(report[name] for name in ("new", "changed", "unchanged", "imported", "updated"))


async def test_importing_the_same_file_again_changes_nothing(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    assert counts(await imported(api, FIRST)) == (3, 0, 0, 3, 0)
    events_before = await changes(owner)
    repeated = await imported(api, FIRST)
    assert counts(repeated) == (0, 0, 3, 0, 0)
    assert (repeated["import_id"], repeated["dry_run"], repeated["changes"]) == (None, False, [])
    assert await changes(owner) == events_before


async def test_an_import_makes_the_changes_that_its_dry_run_lists(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await imported(api, FIRST)
    known = await students(api)
    events_before = await changes(owner)
    update = FIRST.replace("8.1,0", "9,0").replace("Ravi,", "Ravi K,").replace("R2,ECE", "R2,CSE")
    update += "\nNila,nila@college.edu,R4,CSE,2026,90,90,,9,0"
    dry_run_report = await imported(api, update, dry_run=True)
    assert counts(dry_run_report) == (1, 2, 1, 0, 0)
    assert dry_run_report["changes"] == [
        {"line": 2, "student_id": known["R1"]["student_id"], "changes": {"cgpa": {"from": "8.10", "to": "9.00"}}},
        {
            "line": 3,
            "student_id": known["R2"]["student_id"],
            "changes": {"name": {"from": "Ravi", "to": "Ravi K"}, "branch": {"from": "ECE", "to": "CSE"}},
        },
    ]
    assert await changes(owner) == events_before
    report = await imported(api, update)
    assert counts(report) == (1, 2, 1, 1, 2)
    assert report["changes"] == dry_run_report["changes"]
    now = await students(api)
    assert now.pop("R4")["name"] == "Nila"
    assert now == {
        "R1": known["R1"] | {"cgpa": "9.00"},
        "R2": known["R2"] | {"name": "Ravi K", "branch": "CSE"},
        "R3": known["R3"],
    }


async def test_an_import_records_the_events_of_single_corrections_and_their_checksum(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    await imported(api, FIRST)
    ids = {roll: student["student_id"] for roll, student in (await students(api)).items()}
    update = FIRST.replace("8.1,0", "9,0").replace("ravi@college.edu", "ravi.k@college.edu")
    report = await imported(api, update)
    single = await api.patch(f"/api/students/{ids['R1']}", json={"cgpa": "9.5"})
    assert single.status_code == 200, single.text
    async with api.database.connection() as connection:
        (import_event,) = await event_store.read(connection, f"import-{report['import_id']}")
        _, by_import, by_correction = await event_store.read(connection, f"student-{ids['R1']}")
        (details,) = await event_store.read(connection, f"user-{ids['R2']}")
    assert isinstance(by_import.event, StudentRecordRevised)
    assert by_import.event.changed == ["cgpa"]
    assert by_import.data["record"] == by_correction.data["record"] | {"cgpa": "9.00"}
    assert details.data == UserDetailsRevised(user_id=ids["R2"], person_version=2, changed=["email"]).model_dump(
        mode="json"
    )
    assert by_import.metadata == details.metadata == import_event.metadata | {"causation_id": str(import_event.id)}
    assert isinstance(import_event.event, StudentsImported)
    digest = await owner.fetchval(
        "SELECT bit_xor(hashint8extended(id, 1))::text FROM unnest($1::bigint[]) AS id", [ids["R1"], ids["R2"]]
    )
    assert (import_event.event.count, import_event.event.revised, import_event.event.digest) == (2, 2, digest)


@pytest.mark.parametrize(
    ("content", "roll", "changed"),
    [
        ("name,email,roll_number,cgpa\n,,R2,9\n", "R2", {"cgpa": "9.00"}),
        ("name,email,roll_number,branch\n,ravi@college.edu,,CSE\n", "R2", {"branch": "CSE"}),
        ("name,email,roll_number,cgpa\nRavi,RAVI@college.edu,R2,\n", "R2", {"email": "RAVI@college.edu"}),
        ("name,email,roll_number\nRavi,ravi@college.edu,R9\n", "R9", {"roll_number": "R9"}),
        ("Roll No,CGPA\nR2,9\n", "R2", {"cgpa": "9.00"}),
        ("E-mail,Diploma %\nravi@college.edu,67.5\n", "R2", {"diploma_percent": "67.50"}),
        ("name,email,roll_number\nRavi,new@college.edu,R2\n", "R2", {"email": "new@college.edu"}),
        (
            "name,email,roll_number,branch,department\nRavi,,r2 ,,Science\n",
            "r2",
            {"roll_number": "r2", "department": "Science"},
        ),
    ],
)
async def test_empty_cells_and_missing_columns_keep_recorded_values(
    api: Api, content: str, roll: str, changed: dict[str, str]
) -> None:
    await imported(api, FIRST)
    before = (await students(api))["R2"]
    assert counts(await imported(api, content)) == (0, 1, 0, 0, 1)
    assert (await students(api))[roll] == before | changed


WRONG = [
    ("Asha,asha@college.edu,R2\n", "email", "belongs to student {R1}, but the roll number to student {R2}"),
    ("Head,head@college.edu,R2\n", "email", "belongs to an account that is not a student's"),
    ("Head,HEAD@college.edu,R7\n", "email", "belongs to an account that is not a student's"),
    (",new@college.edu,R7\n", "name", "is missing: enter it"),
    ("New,,R7\n", "email", "is missing: enter it"),
    ("New,new@college.edu,\n", "roll_number", "is missing: enter it"),
    ("A,a@b,R1\nB,asha@college.edu,R9\n", "roll_number", "is the same student as in line 2"),
    ("A,a@b,R1\nB,b@b, r1\n", "roll_number", "is the same as in line 2"),
    ("A,a@b,R7\nB,A@B ,R8\n", "email", "is the same as in line 2"),
]


@pytest.mark.parametrize(("rows", "column", "reason"), WRONG)
async def test_a_row_with_an_ambiguous_student_is_refused(
    api: Api, owner: "Owner[asyncpg.Record]", rows: str, column: str, reason: str
) -> None:
    await imported(api, FIRST)
    async with api.database.transaction() as connection:
        await add_user(connection, 800_001, Role.HEAD, email="head@college.edu")
    ids = {roll: student["student_id"] for roll, student in (await students(api)).items()}
    events_before = await changes(owner)
    content = f"name,email,roll_number\n{rows}"
    report = await imported(api, content, dry_run=True)
    last = len(rows.splitlines()) + 1
    assert report["errors"] == [{"line": last, "column": column, "reason": reason.format(**ids)}]
    assert sum(counts(report)[:3]) == last - 2, "a wrong row is neither new nor changed"
    refused = await send_file(api, content)
    assert (refused.status_code, refused.json()["errors"]) == (422, report["errors"])
    assert await changes(owner) == events_before


TWINS = [
    ("roll_number", "21CS042", "21cs042"),
    ("roll_number", "21CS042", " 21CS042 "),
    ("roll_number", unicodedata.normalize("NFC", "É1"), unicodedata.normalize("NFD", "é1")),
    ("email", "asha@college.edu", "Asha@College.EDU"),
    ("email", unicodedata.normalize("NFC", "josé@college.edu"), unicodedata.normalize("NFD", "José@college.edu")),
]


@pytest.mark.parametrize(("column", "value", "twin"), TWINS)
async def test_values_that_differ_in_case_spaces_or_unicode_form_are_equal(
    api: Api, column: str, value: str, twin: str
) -> None:
    def student(number: int, value: str) -> dict[str, str]:
        return {"name": "X", "email": f"x{number}@college.edu", "roll_number": f"X{number}"} | {column: value}

    rows = [student(1, value), student(2, "other@x"), student(3, twin)]
    content = "name,email,roll_number\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    for mode in ("insert", "upsert"):
        report = await imported(api, content, mode, dry_run=True)
        assert report["errors"] == [{"line": 4, "column": column, "reason": "is the same as in line 2"}]
    first, second = [await api.post("/api/students", json=row) for row in rows[:2]]
    assert (first.status_code, second.status_code) == (201, 201), first.text
    refused = await api.post("/api/students", json=rows[2])
    assert refused.status_code == 409
    assert "already" in refused.json()["message"]
    on_record = await imported(api, content.replace("x2@", "y2@").replace("X2", "Y2"), "insert", dry_run=True)
    assert {"line": 4, "column": column, "reason": ON_RECORD} in on_record["errors"]
    if column == "roll_number":
        moved = await api.patch(f"/api/students/{second.json()['student_id']}", json={column: twin})
        assert moved.status_code == 409
        assert "already" in moved.json()["message"]


async def test_stored_values_are_composed_and_trimmed(api: Api) -> None:
    decomposed = unicodedata.normalize("NFD", "É1")
    body = {"name": "X", "email": "x@college.edu", "roll_number": f" {decomposed} "}
    assert (await api.post("/api/students", json=body)).json()["roll_number"] == "É1"


async def test_changed_marks_request_one_reevaluation_of_each_affected_drive(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    rows = [f"N {n},n{n}@college.edu,I{n},{{}}" for n in range(60)]
    header = "name,email,roll_number,cgpa\n"
    await imported(api, header + "\n".join(row.format(6) for row in rows))
    ids = [student["student_id"] for student in (await api.get("/api/students")).json()]
    all_in, some, none = [(await drive(api, min_cgpa=cgpa))["drive_id"] for cgpa in ("5", "8", "9.5")]
    listed = await drive(api, min_cgpa="5", auto_calc=False)
    path = f"/api/drives/{listed['drive_id']}/publish"
    assert (await api.post(path, "COORDINATOR", json={"selected_students": ids[:2]})).status_code == 202
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        update = [row.format(9 if n >= 10 else 6) for n, row in enumerate(rows)]
        await imported(api, header + "\n".join([*update, "New,new@college.edu,NEW,8.5"]))
        jobs = await done(worker, *await queued(owner))
        assert sorted(job.subject for job in jobs) == sorted(f"drive-{id_}" for id_ in (all_in, some))
        assert len(await selected(owner, some)) == 51
        assert len(await selected(owner, all_in)) == 61
        assert await selected(owner, none) == []
        # First a student outside of the requested list falls below the criteria, then a student on the list.
        await imported(api, f"{header}N 30,n30@college.edu,I30,4\n")
        assert f"drive-{listed['drive_id']}" not in [job.subject for job in await done(worker, *await queued(owner))]
        await imported(api, f"{header}N 1,n1@college.edu,I1,4\n")
        assert f"drive-{listed['drive_id']}" in [job.subject for job in await done(worker, *await queued(owner))]
    assert await owner.fetch(FROM_SCRATCH) == []
    requests = await owner.fetch(REEVALUATIONS)
    new = await owner.fetchval("SELECT max(student_id) FROM students")
    assert f'{{"last": {new}, "first": {ids[10]}}}' in {row["students"] for row in requests}


async def test_changed_details_request_no_reevaluation(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await imported(api, FIRST)
    await drive(api, min_cgpa="7")
    await imported(api, FIRST.replace("Asha,", "Asha K,"))
    assert await owner.fetch(REEVALUATIONS) == []


@pytest.mark.parametrize("changed", ["record", "details"])
async def test_an_import_does_not_overwrite_a_concurrent_correction(
    api: Api, owner: "Owner[asyncpg.Record]", changed: str
) -> None:
    await imported(api, FIRST)
    asha = (await students(api))["R1"]["student_id"]
    update = FIRST.replace("8.1,0", "9,0").replace("Asha,", "Asha K,")
    async with api.database.transaction() as connection:
        # The import has validated the file before it waits for the stream, or for the account.
        stream = f"student-{asha}" if changed == "record" else f"user-{asha}"
        if changed == "record":
            await connection.execute("SELECT FROM es.stream WHERE stream_id = $1 FOR UPDATE", stream)
        else:
            await users.locked(connection, asha)
        importing = asyncio.create_task(send_file(api, update))
        await _lock_wait(owner)
        if changed == "record":
            event: StudentRecordRevised | UserDetailsRevised = StudentRecordRevised.model_validate(
                {"student_id": asha, "record": {"cgpa": "5.00"}, "changed": ["cgpa"]}
            )
        else:
            await users.add_version(connection, asha, Person(2, "By hand", "asha@college.edu", "R1"))
            event = UserDetailsRevised(user_id=asha, person_version=2, changed=["name"])
        cause = event_store.Cause(source="test", correlation_id=event_store.fresh_ids(0))
        await event_store.append(connection, stream, [event], cause, expected_version=None)
    answer = await importing
    assert answer.status_code == 409, answer.text
    assert answer.json()["message"].startswith("The student of line 2 was corrected while the file was being imported")
    now = (await students(api))["R1"]
    assert (now["cgpa"], now["name"]) == (("5.00", "Asha") if changed == "record" else ("8.10", "By hand"))
    assert counts(await imported(api, update)) == (0, 1, 2, 0, 1)


async def _lock_wait(owner: "Owner[asyncpg.Record]") -> None:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not await owner.fetchval(waits):
        await asyncio.sleep(0.02)
        await owner.execute("SELECT pg_stat_clear_snapshot()")


async def test_concurrent_imports_of_the_same_students_do_not_mix(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    header = "name,email,roll_number,cgpa\n"
    rows = [f"N {n},n{n}@college.edu,I{n},{{}}" for n in range(300)]
    await imported(api, header + "\n".join(row.format(5) for row in rows))
    files = [header + "\n".join(row.format(cgpa) for row in rows[::step]) for cgpa, step in ((6, 1), (7, -1), (8, -1))]
    answers = await asyncio.gather(*(send_file(api, content) for content in files))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses) <= {200, 409}
    assert await owner.fetchval("SELECT count(DISTINCT cgpa) FROM students") == 1


async def test_concurrent_imports_enrol_new_students_once(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    header = "name,email,roll_number\n"
    rows = [f"N {n},n{n}@college.edu,I{n}" for n in range(2_000)]
    answers = await asyncio.gather(*(send_file(api, header + "\n".join(rows[::step]), "insert") for step in (1, -1)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert statuses[1] in {409, 422, 503}, answers[1].text
    assert all("othing was" in answer.json()["message"] for answer in answers if answer.status_code != 200)
    assert await owner.fetchval("SELECT count(*) FROM students") == len(rows)


@pytest.mark.full_only
async def test_many_students_are_updated_in_batches(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await enrol(owner, MANY)
    rows = await owner.fetch(
        "SELECT s.roll_number, s.branch, u.name FROM students s JOIN users u ON u.user_id = s.student_id"
    )
    content = "name,email,roll_number,branch\n" + "".join(
        f"{row['name']}!,,{row['roll_number'].lower()},{row['branch']}\n" for row in rows
    )
    report = await imported(api, content)
    assert counts(report) == (0, MANY, 0, 0, MANY)
    assert len(report["changes"]) == 100
    assert await owner.fetchval("SELECT count(*) FROM students WHERE roll_number LIKE 'r%'") == MANY
    assert await owner.fetchval("SELECT count(*) FROM users WHERE name LIKE '%!'") == MANY


async def test_a_key_cannot_be_reused_with_another_mode(api: Api) -> None:
    first = await imported(api, FIRST, None, key="one")
    assert first["mode"] == "insert"
    assert (await send_file(api, FIRST, "insert", key="one")).json() == first
    refused = await send_file(api, FIRST, "upsert", key="one")
    assert (refused.status_code, "Idempotency-Key" in refused.json()["message"]) == (422, True)


async def test_the_error_of_an_unknown_mode_lists_the_modes(api: Api) -> None:
    answer = await send_file(api, FIRST, "merge")
    assert (answer.status_code, "insert" in answer.json()["message"]) == (422, True)


async def test_a_new_student_needs_every_identifying_column(api: Api) -> None:
    report = await imported(api, "Roll No,CGPA\nR7,9\n", dry_run=True)
    assert [(error["column"], error["reason"]) for error in report["errors"]] == [
        ("email", "is missing: enter it"),
        ("name", "is missing: enter it"),
    ]
    insert_only = await send_file(api, "Roll No,CGPA\nR7,9\n", "insert", dry_run=True)
    assert (insert_only.status_code, "no column for name and email" in insert_only.json()["message"]) == (422, True)


async def test_the_command_line_imports_updates_and_reports_when_nothing_changes(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "students.csv"
    token = bearer(Role.HEAD)["Authorization"].removeprefix("Bearer ")

    async def run(content: str, *options: str) -> str:
        file.write_text(content)
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", "students", "import", str(file), *options, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PLACEWIRE_API": f"http://127.0.0.1:{port}", "PLACEWIRE_TOKEN": token},
        )  # fmt: skip
        output, _ = await command.communicate()
        assert command.returncode == 0, output.decode()
        return " ".join(output.decode().split())

    async with served(api.app) as port:
        assert "3 students imported (import " in await run(FIRST)
        assert "0 new, 0 changed, 3 unchanged" in (repeated := await run(FIRST, "--mode", "upsert"))
        assert "Nothing to import: every student is on record with the same values." in repeated
        update = FIRST.replace("8.1,0", "9,0")
        assert "0 new, 1 changed, 2 unchanged students." in await run(update, "--mode", "upsert", "--dry-run")
        assert "0 students imported, 1 updated (import " in await run(update, "--mode", "upsert")
    assert (await students(api))["R1"]["cgpa"] == "9.00"


CASES = Path(__file__).parents[1] / "cases"


async def test_the_case_of_a_repeated_import_updates_students(api: Api) -> None:
    first, update = [(CASES / f"c44_{name}.csv").read_text() for name in ("reimport", "update")]
    assert counts(await imported(api, first, None)) == (2, 0, 0, 2, 0)
    assert counts(await imported(api, first)) == (0, 0, 2, 0, 0)
    report = await imported(api, update)
    assert counts(report) == (1, 2, 0, 1, 2)
    assert [change["changes"] for change in report["changes"]] == [
        {"cgpa": {"from": "8.10", "to": "9.00"}},
        {"cgpa": {"from": "8.10", "to": "7.00"}},
    ]
