"""The vault: grants, versions of personal details, stored answers, and rows that were erased."""

from typing import Any

import asyncpg
import pytest

from chassis.eventstore import event_store
from cli.replay.verification import ProgressCallbacks, verify
from contracts.users import UserDetailsRevised
from tests.conftest import Api
from tests.support.system import as_role

Owner = asyncpg.Connection
STUDENT = {"name": "Asha Rao", "email": "asha@college.edu", "roll_number": "21CS042", "branch": "CSE"}
PERSONAL = (
    "SELECT name FROM users", "SELECT email FROM users", "SELECT roll_number FROM students", "SELECT * FROM students",
    "SELECT name FROM vault.person", "SELECT roll_number FROM vault.person", "SELECT body FROM vault.kept_answer",
)  # fmt: skip
REFUSED: list[tuple[str, str]] = [
    *((role, statement) for role in ("eligibility", "maintenance", "relay") for statement in PERSONAL),
    ("exporter", "SELECT name FROM vault.person"),
    ("exporter", "SELECT body FROM vault.kept_answer"),
    ("api", "UPDATE vault.person SET name = 'x'"),
    ("api", "TRUNCATE vault.person"),
]


@pytest.mark.parametrize(("role", "statement"), REFUSED)
async def test_only_roles_that_need_personal_data_may_read_it(database_url: str, role: str, statement: str) -> None:
    connection = await asyncpg.connect(as_role(database_url, f"placewire_{role}"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_a_version_is_never_changed(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await enrolled_student(api)
    for statement in ("UPDATE vault.person SET name = 'x'", "TRUNCATE vault.person"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
            await owner.execute(statement)


async def test_a_correction_adds_a_version_unless_only_the_department_changes(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    id_ = await enrolled_student(api)
    for changes in ({"name": "Asha R."}, {"department": "Computing"}, {"roll_number": "21CS043", "cgpa": "8"}, {}):
        answer = await api.patch(f"/api/students/{id_}", json=changes or {"name": "Asha R."})
        assert answer.status_code == 200, answer.text
    versions = await owner.fetch("SELECT version, name, email, roll_number FROM vault.person ORDER BY version")
    assert [tuple(row) for row in versions] == [
        (1, "Asha Rao", "asha@college.edu", "21CS042"),
        (2, "Asha R.", "asha@college.edu", "21CS042"),
        (3, "Asha R.", "asha@college.edu", "21CS043"),
    ]
    async with api.database.connection() as connection:
        events = [recorded.event for recorded in await event_store.read(connection, f"user-{id_}")]
    assert events == [
        UserDetailsRevised(user_id=id_, person_version=2, changed=["name"]),
        UserDetailsRevised(user_id=id_, person_version=2, department="Computing", changed=["department"]),
        UserDetailsRevised(user_id=id_, person_version=3, department="Computing", changed=["roll_number"]),
    ]
    assert await owner.fetchval("SELECT person_version FROM users") == 3


async def test_a_coordinator_may_correct_a_roll_number_but_no_name(api: Api) -> None:
    id_ = await enrolled_student(api)
    assert (await api.patch(f"/api/students/{id_}", "COORDINATOR", json={"roll_number": "21CS043"})).status_code == 200
    refused = await api.patch(f"/api/students/{id_}", "COORDINATOR", json={"roll_number": "1", "name": "Another"})
    assert refused.status_code == 403


@pytest.mark.damages
async def test_missing_vault_rows_are_projected_as_erased(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    id_ = await enrolled_student(api)
    await owner.execute("DELETE FROM vault.person")
    findings = await verify(database_url, ProgressCallbacks(began=lambda _: None, projected=lambda _: None), limit=3)
    shown = {
        cell.column: cell.replayed
        for table in findings.tables
        for difference in table.differences
        for cell in difference.cells
    }
    assert shown == {
        "name": "Erased person", "email": f"erased-{id_}@erased.invalid", "roll_number": f"erased-{id_}",
    }  # fmt: skip
    (check,) = [check for check in findings.checks if check.wrong]
    assert check.faults == (f"version 1 of person {id_}: an event refers to it, but the vault does not hold it",)


async def test_a_stored_answer_is_returned_again_until_it_is_erased(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """The remaining row of the key holds no personal data, and refuses repeated requests."""
    key = {"Idempotency-Key": "one"}
    first = await api.post("/api/students", json=STUDENT, headers=key)
    assert (await api.post("/api/students", json=STUDENT, headers=key)).content == first.content
    stored = await owner.fetchval("SELECT string_agg(k::text, '') FROM idempotency_keys k")
    assert not [value for value in STUDENT.values() if value in stored]
    person_ids = await owner.fetchval("SELECT person_ids FROM vault.kept_answer")
    assert person_ids == [first.json()["student_id"]]
    await owner.execute("DELETE FROM vault.kept_answer WHERE person_ids && $1", person_ids)
    repeated = await api.post("/api/students", json=STUDENT, headers=key)
    assert (repeated.status_code, "used long ago" in repeated.json()["message"]) == (422, True)
    assert await owner.fetchval("SELECT count(*) FROM students") == 1


async def test_the_report_of_an_import_is_stored_without_quotes_from_the_file(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    id_ = await enrolled_student(api)
    content = "name,email,roll_number,Motto of Asha\nAsha R.,,21CS042,x\n"

    async def send_import() -> Any:
        return await api.post(
            "/api/students/import?dry_run=false&mode=upsert",
            files={"file": ("a.csv", content, "text/csv")},
            headers={"Idempotency-Key": "one"},
        )

    first = await send_import()
    assert (first.status_code, first.json()["updated"]) == (200, 1), first.text
    assert "Motto of Asha" in first.text
    assert (await send_import()).content == first.content
    stored = await owner.fetchrow("SELECT person_ids, body::text AS body FROM vault.kept_answer")
    assert stored is not None
    assert (stored["person_ids"], "Asha R." in stored["body"], "Motto" in stored["body"]) == ([id_], True, False)


async def enrolled_student(api: Api) -> int:
    answer = await api.post("/api/students", json=STUDENT)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["student_id"])
