"""Erasing a person removes all their personal data for good, and changes nothing else."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from chassis.errors import DomainError, NotFound, RuleViolation
from chassis.eventstore.event_store import Cause, fresh_ids
from chassis.postgres.database import Database
from chassis.tokens import Principal, issue_user_token
from cli.main import app
from cli.replay.rebuilding import rebuild
from cli.replay.verification import ProgressCallbacks, verify
from contracts.users import Role
from services.api.personal_data import erasure
from tests.conftest import Api, must_verify
from tests.support.accounts import add_user
from tests.support.bulk_students import enrol
from tests.support.drive_scenarios import finished, posted, register
from tests.support.eventually import eventually
from tests.support.exporting import asked, exporting, stored
from tests.support.job_worker import done, working
from tests.support.maintenance_app import maintaining
from tests.support.system import SECRET, as_role

Owner = asyncpg.Connection
HEAD = 900_001
NAME, EMAIL, ROLL_NUMBER = "Qvxplanted Person", "qvxplanted@college.edu", "QVXPLANTED-1"
PASSWORD = "a long password"
JOBS = "SELECT id FROM es.job WHERE finished_at IS NULL"
ERASURES_LOCK = "hashtextextended('erasures', 0)"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
ROW_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest_asyncio.fixture(autouse=True)
async def head(owner: "Owner[asyncpg.Record]") -> None:
    """Add the head who makes the calls. The API reads callers from the database while accounts change."""
    async with owner.transaction():
        await owner.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)
        await add_user(owner, HEAD, Role.HEAD)


async def enrolled(api: Api, **changes: Any) -> int:
    body = {"name": NAME, "email": EMAIL, "roll_number": ROLL_NUMBER, "cgpa": "8.10", "password": PASSWORD} | changes
    answer = await api.post("/api/students", "HEAD", HEAD, json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["student_id"])


async def erase(api: Api, student_id: int, query: str = "", **options: Any) -> dict[str, Any]:
    answer = await api.delete(f"/api/students/{student_id}/personal-data{query}", "HEAD", HEAD, **options)
    assert answer.status_code == 200, answer.text
    answer_body: dict[str, Any] = answer.json()
    return answer_body


async def tables_with_personal_data(owner: "Owner[asyncpg.Record]") -> list[str]:
    """Return the tables that hold personal data of these tests."""
    tables = await owner.fetch("""
        SELECT format('%I.%I', n.nspname, c.relname) AS name
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm') AND n.nspname IN ('public', 'es', 'vault') ORDER BY 1""")
    return [
        row["name"]
        for row in tables
        if await owner.fetchval(f"SELECT EXISTS (SELECT FROM {row['name']} t WHERE t::text ILIKE '%qvxplanted%')")
    ]


async def test_an_erased_person_is_in_no_table_and_cannot_sign_in(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    student = await enrolled(api)
    assert (await api.patch(f"/api/users/{student}", "HEAD", HEAD, json={"name": f"{NAME} II"})).status_code == 200
    assert (await api.post(f"/api/users/{student}/password-link", "HEAD", HEAD)).status_code == 201
    assert (await api.post("/api/notifications/read-all", "STUDENT", student)).status_code == 200
    signed_in = await api.client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
    token = {"Authorization": f"Bearer {signed_in.json()['token']}"}
    assert (await api.client.get("/api/me/data", headers=token)).status_code == 200
    assert await tables_with_personal_data(owner) == ["public.students", "public.users", "vault.person"]

    erasure_answer = await erase(api, student)
    assert (erasure_answer["already_erased"], erasure_answer["dry_run"]) == (False, False)
    assert erasure_answer["counts"] == {
        "versions": 2, "kept_answers": 0, "passwords": 1, "password_links": 1, "read_marks": 1, "export_files": 0,
    }  # fmt: skip
    assert await tables_with_personal_data(owner) == []
    [shown] = (await api.get("/api/students", "HEAD", HEAD)).json()
    assert (shown["name"], shown["email"], shown["roll_number"], shown["cgpa"], shown["active"]) == (
        "Erased person", f"erased-{student}@erased.invalid", f"erased-{student}", "8.10", False,
    )  # fmt: skip
    assert (await api.client.get("/api/me/data", headers=token)).status_code == 401
    refused = await api.client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
    assert refused.status_code == 401
    events = await owner.fetch(
        "SELECT type, data FROM es.event WHERE stream_id = $1 ORDER BY version", f"user-{student}"
    )
    assert [row["type"].split(".")[2] for row in events][-2:] == ["deactivated", "person-erased"]


async def test_a_repeated_erasure_changes_nothing(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    student = await enrolled(api)
    first = await erase(api, student, headers={"Idempotency-Key": "one"})
    assert await erase(api, student, headers={"Idempotency-Key": "one"}) == first
    repeated = await erase(api, student)
    assert (repeated["already_erased"], repeated["erased_at"]) == (True, first["erased_at"])
    assert set(repeated["counts"].values()) == {0}
    assert await owner.fetchval("SELECT count(*) FROM es.event WHERE type LIKE '%person-erased%'") == 1


async def test_a_dry_run_counts_what_an_erasure_would_delete(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    student = await enrolled(api)
    answered = await api.patch(
        f"/api/students/{student}", "HEAD", HEAD, json={"cgpa": "9"}, headers={"Idempotency-Key": "one"}
    )
    assert answered.status_code == 200
    await exported(api, database_url, tmp_path, await posted(api))
    rehearsal = await erase(api, student, "?dry_run=true")
    assert (rehearsal["dry_run"], rehearsal["already_erased"], rehearsal["erased_at"]) == (True, False, None)
    assert rehearsal["counts"] == {
        "versions": 1, "kept_answers": 1, "passwords": 1, "password_links": 0, "read_marks": 0, "export_files": 1,
    }  # fmt: skip
    assert "vault.person" in await tables_with_personal_data(owner)
    assert (await erase(api, student))["counts"] == rehearsal["counts"]
    rehearsal = await erase(api, student, "?dry_run=true")
    assert (rehearsal["already_erased"], set(rehearsal["counts"].values())) == (True, {0})


async def test_the_account_of_an_erased_person_stays_closed(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    student = await enrolled(api)
    await erase(api, student)
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", f"/api/users/{student}/reactivate", None),
        ("POST", f"/api/users/{student}/password-link", None),
        ("PATCH", f"/api/users/{student}", {"password": PASSWORD}),
        ("PATCH", f"/api/users/{student}", {"name": "Somebody"}),
        ("PATCH", f"/api/students/{student}", {"cgpa": "1.00"}),
        ("PATCH", f"/api/students/{student}", {"roll_number": "NEW"}),
    ]
    for method, path, body in calls:
        answer = await api._ask(method, path, "HEAD", HEAD, json=body)
        assert (answer.status_code, answer.json()["message"]) == (
            409, "The personal data of this person was erased. The account stays closed.",
        ), path  # fmt: skip
    assert await owner.fetchval("SELECT active FROM users WHERE user_id = $1", student) is False


async def test_heads_cannot_erase_themselves_or_the_last_active_head(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    body = {"name": "H", "email": "h@college.edu", "role": "HEAD", "password": PASSWORD}
    other = int((await api.post("/api/users", "HEAD", HEAD, json=body)).json()["user_id"])
    student = await enrolled(api)
    unknown = await api.delete("/api/students/999999/personal-data", "HEAD", HEAD)
    staff = await api.delete(f"/api/students/{other}/personal-data", "HEAD", HEAD)
    refusals = [(answer.status_code, answer.json()["message"]) for answer in (unknown, staff)]
    assert refusals == [(404, "Student not found")] * 2
    for query in ("", "?dry_run=true"):
        own = await api.delete(f"/api/users/{other}/personal-data{query}", "HEAD", other)
        assert (own.status_code, "your own account" in own.text) == (409, True)
    for person in (other, student):
        answer = await api.delete(f"/api/users/{person}/personal-data", "HEAD", HEAD)
        assert answer.status_code == 200, answer.text
    for last in (erasure.rehearse(owner, HEAD, 0), erasure.erase(owner, HEAD, Cause("cli", uuid4()), fresh_ids)):
        with pytest.raises(RuleViolation, match="last active head"):
            async with owner.transaction():
                await last


async def test_a_new_person_may_use_the_address_and_roll_number_of_an_erased_one(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    erased = await enrolled(api)
    await erase(api, erased)
    second = await enrolled(api)
    assert second != erased
    file = f"name,email,roll_number\n{NAME},{EMAIL},{ROLL_NUMBER}\n"
    await erase(api, second)
    imported = await api.post(
        "/api/students/import?dry_run=false&mode=upsert", "HEAD", HEAD, files={"file": ("a.csv", file, "text/csv")}
    )
    assert (imported.status_code, imported.json()["imported"]) == (200, 1)
    names = await owner.fetch("SELECT name FROM users WHERE role = 'STUDENT' ORDER BY user_id")
    assert [row["name"] for row in names] == ["Erased person", "Erased person", NAME]


async def test_addresses_and_roll_numbers_of_the_form_of_erased_people_are_reserved(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    student = await enrolled(api)
    staff = {"name": "S", "role": "STAFF", "password": PASSWORD}
    answers = [
        await api.post("/api/users", "HEAD", HEAD, json=staff | {"email": "Erased-7@ERASED.invalid"}),
        await api.post(
            "/api/students", "HEAD", HEAD, json={"name": "S", "email": "s@college.edu", "roll_number": "Erased-7"}
        ),
        await api.patch(f"/api/students/{student}", "HEAD", HEAD, json={"roll_number": "ERASED-7"}),
        await api.patch(f"/api/users/{student}", "HEAD", HEAD, json={"email": "x@erased.invalid"}),
    ]
    assert [answer.status_code for answer in answers] == [409] * 4
    rows = ("A,a@erased.invalid,R1", "B,b@college.edu,erased-7")
    for mode in ("insert", "upsert"):
        file = "\n".join(("name,email,roll_number", *rows))
        report = await api.post(
            f"/api/students/import?mode={mode}", "HEAD", HEAD, files={"file": ("a.csv", file, "text/csv")}
        )
        assert [(error["line"], error["column"]) for error in report.json()["errors"]] == [
            (2, "email"), (3, "roll_number"),
        ]  # fmt: skip
        assert "reserved" in report.text


async def test_stored_answers_of_an_erased_person_are_not_returned_again(
    api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    first, other = await enrolled(api), await enrolled(api, email="b@college.edu", roll_number="B", name="Bela")

    async def corrected(student: int) -> httpx.Response:
        return await api.patch(
            f"/api/students/{student}", "HEAD", HEAD, json={"cgpa": "9.00"}, headers={"Idempotency-Key": "one"}
        )

    before = [await corrected(student) for student in (first, other)]
    await erase(api, first)
    after = [await corrected(student) for student in (first, other)]
    assert (after[0].status_code, after[1].content) == (422, before[1].content)
    assert NAME not in after[0].text
    assert await tables_with_personal_data(owner) == []


async def test_a_concurrent_correction_does_not_restore_personal_data(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    """This holds for any order. The stored answer to a correction of marks shows the name, too."""
    for number in range(8):
        student = await enrolled(api)
        correction = api.patch(
            f"/api/students/{student}", "HEAD", HEAD, json={"cgpa": "9"}, headers={"Idempotency-Key": f"key {number}"}
        )
        details = api.patch(f"/api/users/{student}", "HEAD", HEAD, json={"name": f"{NAME} II"})
        answers = await asyncio.gather(correction, erase(api, student), details)
        assert {answer.status_code for answer in answers if isinstance(answer, httpx.Response)} <= {200, 409}
        assert await tables_with_personal_data(owner) == [], number


async def test_an_import_that_was_checked_before_the_erasure_is_refused(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """The erasure waits for a lock on the account. Then the import, which has read the old name, waits as well.

    The erasure runs as the owner, who has no lock timeout, because reading the file can be slow on a busy machine.
    """
    student = await enrolled(api)
    file = f"name,email,roll_number\n{NAME} III,{EMAIL},{ROLL_NUMBER}\n"
    async with owner.transaction():
        await owner.execute("SELECT FROM users WHERE user_id = $1 FOR UPDATE", student)
        erasing = asyncio.create_task(erased_by_owner(database_url, student))
        await eventually(lambda: _lock_waits(owner, 1))
        importing = asyncio.create_task(
            api.post(
                "/api/students/import?dry_run=false&mode=upsert", "HEAD", HEAD,
                files={"file": ("a.csv", file, "text/csv")},
            )
        )  # fmt: skip
        await eventually(lambda: _lock_waits(owner, 2), within_s=60)
    await erasing
    assert (await importing).status_code == 409
    assert await tables_with_personal_data(owner) == []


async def erased_by_owner(database_url: str, student: int) -> None:
    database = Database(database_url, pool_size=1, application_name="test")
    try:
        async with database.transaction() as connection:
            cause = Cause(source="api", correlation_id=uuid4(), actor_id=HEAD)
            await erasure.erase(connection, student, cause, fresh_ids)
    finally:
        await database.close()


async def _lock_waits(owner: "Owner[asyncpg.Record]", count: int) -> bool:
    # Without this, a transaction sees the sessions of its first look at pg_stat_activity.
    await owner.execute("SELECT pg_stat_clear_snapshot()")
    return bool(await owner.fetchval(ROW_WAITING) >= count)


async def exported(api: Api, database_url: str, folder: Path, drive_id: int | None, **options: Any) -> str:
    kind = "finished_drives" if drive_id is None else "eligible_students"
    export_id = str((await asked(api, kind=kind, drive_id=drive_id, **options))["export_id"])
    async with exporting(database_url, folder) as worker:
        await done(worker, export_id)
    return export_id


async def test_export_files_that_may_show_the_person_are_refused_at_once_and_deleted_later(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    student = await enrolled(api)
    drive_id = await posted(api)
    shows = await exported(api, database_url, tmp_path, drive_id)
    others = [
        await exported(api, database_url, tmp_path, drive_id, columns=["student_id", "cgpa"]),
        await exported(api, database_url, tmp_path, None),
    ]
    recorded = await owner.fetchval("SELECT sha256 FROM exports WHERE export_id = $1::uuid", shows)
    assert len(stored(tmp_path)) == 3
    await erase(api, student)
    answer = await api.get(f"/api/exports/{shows}/file")
    assert (answer.status_code, answer.json()["message"]) == (410, "This file has expired. Ask for a new one.")
    assert (await api.get(f"/api/exports/{shows}")).json()["state"] == "expired"
    for other in others:
        assert (await api.get(f"/api/exports/{other}/file")).status_code == 200
    # Maintenance did not run yet. The database holds the order to delete the file.
    async with maintaining(database_url, tmp_path) as maintenance:
        assert (await maintenance.due.once(datetime.now(UTC)))["withdrawn_exports"] == 1
        assert (await maintenance.due.once(datetime.now(UTC)))["withdrawn_exports"] == 0
    assert len(stored(tmp_path)) == 2
    assert await owner.fetchval("SELECT count(*) FROM withdrawn_exports") == 0
    types = await owner.fetch("SELECT type FROM es.event WHERE stream_id = $1 ORDER BY version", f"export-{shows}")
    assert [row["type"].split(".")[2] for row in types] == ["requested", "completed", "expired"]
    assert (await api.get(f"/api/exports/{shows}")).json()["sha256"] == recorded


def contents(folder: Path) -> str:
    """Return the text of all stored files."""
    return "".join((folder / "uploads" / "temp" / path).read_text() for path in stored(folder))


@asynccontextmanager
async def erasures_held_up(database_url: str) -> AsyncIterator[None]:
    """Hold the lock of erasures until the block ends."""
    holder = await asyncpg.connect(database_url)
    await holder.execute(f"SELECT pg_advisory_lock({ERASURES_LOCK})")
    try:
        yield
    finally:
        await holder.close()


@pytest.mark.parametrize("first", ["erasure", "export"])
async def test_an_export_that_ends_during_an_erasure_does_not_deliver_the_person(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, first: str
) -> None:
    student = await enrolled(api)
    drive_id = await posted(api)
    export_id = (await asked(api, kind="eligible_students", drive_id=drive_id))["export_id"]

    async def waiting(count: int) -> bool:
        return bool(await owner.fetchval(WAITING) == count)

    async with erasures_held_up(database_url):
        if first == "erasure":
            erasing = asyncio.create_task(erase(api, student))
            await eventually(lambda: waiting(1))
        async with exporting(database_url, tmp_path) as worker:
            ended = asyncio.create_task(done(worker, export_id))
            await eventually(lambda: waiting(2 if first == "erasure" else 1))
            assert NAME in contents(tmp_path)  # the file is written, and the export has not ended yet
            if first == "export":
                erasing = asyncio.create_task(erase(api, student))
                await eventually(lambda: waiting(2))
            await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                                f" AND classid::bigint << 32 | objid::bigint = {ERASURES_LOCK}")  # fmt: skip
            await asyncio.gather(erasing, ended)
    file = await api.get(f"/api/exports/{export_id}/file")
    if first == "export":
        assert file.status_code == 410
    else:
        assert file.status_code == 200
        assert "Erased person" not in file.text  # the account is closed: the student is not eligible any more
        assert NAME not in file.text
        assert NAME not in contents(tmp_path)
    assert await owner.fetchval("SELECT attempts FROM es.job WHERE kind = 'export'") == 1, "the export must not fail"


async def test_an_erasure_changes_neither_history_nor_counts(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path
) -> None:
    student = await enrolled(api)
    others = await enrol(owner, 5)
    drive_id = await posted(api)
    async with working(database_url) as worker:
        await done(worker, *[row["id"] for row in await owner.fetch(JOBS)])
    finished_id = await finished(api, [student], [others[-1]])
    await register(api, drive_id, student)
    moment = (await owner.fetchval("SELECT clock_timestamp()")).isoformat().replace("+00:00", "Z")

    async def history_and_counts() -> list[Any]:
        explained = await api.get(f"/api/eligibility/{drive_id}/explain?student_id={student}&at={moment}", "HEAD", HEAD)
        as_of = await api.get(f"/api/drives/{drive_id}/eligibility?at={moment}", "HEAD", HEAD)
        assert (explained.status_code, as_of.status_code) == (200, 200)
        ids = [(row["student_id"], row["cgpa"], row["selected"]) for row in as_of.json()["students"]]
        counts = await owner.fetchrow("""
            SELECT (SELECT count(*) FROM registrations) AS registrations, (SELECT count(*) FROM attendance) AS marks,
                   (SELECT jsonb_agg(f) FROM finished_drives f)::text AS finished,
                   (SELECT count(*) FROM students) AS students""")
        assert counts is not None
        return [explained.json(), ids, dict(counts)]

    before = await history_and_counts()
    await must_verify(database_url)
    await erase(api, student)
    assert await history_and_counts() == before
    await must_verify(database_url)
    listed = (await api.get(f"/api/registrations/{finished_id}/list", "HEAD", HEAD)).json()
    assert [row["name"] for row in listed if row["student_id"] == student] == ["Erased person"]


@pytest.mark.damages
async def test_verify_finds_personal_data_of_an_erased_person(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    student = await enrolled(api)
    await erase(api, student)
    await owner.execute("INSERT INTO vault.person VALUES ($1, 1, 'Left over', 'left@college.edu', 'L')", student)
    findings = await verify(database_url, ProgressCallbacks(began=lambda _: None, projected=lambda _: None), limit=3)
    assert [fault for check in findings.checks for fault in check.faults] == [
        f"version 1 of person {student}: the person was erased, but the vault holds it"
    ]


async def test_a_rebuild_shows_erased_people_as_erased(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    student, other = await enrolled(api), await enrolled(api, email="b@college.edu", roll_number="B", name="Bela")
    await erase(api, student)
    users_before = await owner.fetch("SELECT * FROM users ORDER BY user_id")
    await owner.execute("UPDATE users SET name = 'Changed', erased_at = NULL WHERE user_id = $1", student)
    await owner.execute("DELETE FROM students WHERE student_id = ANY ($1)", [student, other])
    callbacks = ProgressCallbacks(began=lambda _: None, projected=lambda _: None)
    rebuilt = await rebuild(database_url, callbacks, lambda _: True, limit=3, longest_pause_s=10)
    assert rebuilt.left == 0
    assert await owner.fetch("SELECT * FROM users ORDER BY user_id") == users_before
    numbers = await owner.fetch("SELECT roll_number FROM students ORDER BY student_id")
    assert [row["roll_number"] for row in numbers] == [f"erased-{student}", "B"]


async def test_verify_finds_no_difference_when_a_person_is_erased_during_the_run(api: Api, database_url: str) -> None:
    student = await enrolled(api)
    rounds: list[int] = []

    def began(events: int) -> None:
        rounds.append(events)
        # Verify reads the tables as of this moment, and projects the log afterwards.
        if len(rounds) == 1:
            with ThreadPoolExecutor(1) as executor:
                executor.submit(lambda: asyncio.run(erase_by_command(database_url, student))).result(timeout=20)

    findings = await verify(database_url, ProgressCallbacks(began=began, projected=lambda _: None), limit=3)
    assert findings.differences == 0
    assert len(rounds) == 2
    assert rounds[1] >= 1, "the second round must include the erasure"


async def erase_by_command(database_url: str, student: int) -> None:
    result = await command(database_url, "erase", str(student))
    assert result.exit_code == 0, result.output


async def test_verify_shows_no_personal_values(api: Api, owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    student = await enrolled(api)
    await owner.execute("UPDATE users SET name = 'Qvxdamaged' WHERE user_id = $1", student)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["verify"], env={"DATABASE_URL": database_url})
    await owner.execute("UPDATE users SET name = $2 WHERE user_id = $1", student, NAME)
    assert result.exit_code == 1
    assert "(not shown)" in result.output
    assert "Qvx" not in result.output


async def test_each_process_forgets_the_tokens_of_an_erased_person(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    student = await enrolled(api)
    principal = Principal(student, Role.STUDENT, NAME, EMAIL, 1)
    headers = {"Authorization": f"Bearer {issue_user_token(principal, SECRET)}"}
    assert (await api.client.get("/api/drives", headers=headers)).status_code == 200
    tokens = api.app.state.guard.tokens
    assert NAME in str(tokens._valid)
    await erase(api, student)
    await eventually(api.listening)
    assert NAME not in str(tokens._valid)
    assert (await api.client.get("/api/drives", headers=headers)).status_code == 401
    assert NAME not in str(tokens._valid)


async def test_services_cannot_delete_from_the_vault(owner: "Owner[asyncpg.Record]") -> None:
    granted = await owner.fetch("""
        SELECT table_name::text, grantee::text, privilege_type::text FROM information_schema.role_table_grants
         WHERE table_schema = 'vault' AND grantee LIKE 'placewire%' AND privilege_type NOT IN ('SELECT', 'INSERT')""")
    assert granted == []


async def command(database_url: str, *words: str) -> Result:
    env = {"DATABASE_URL": as_role(database_url, "placewire_api")}
    return await asyncio.to_thread(CliRunner().invoke, app, ["people", *words], env=env)


async def test_the_command_line_shows_and_erases_personal_data(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    student = await enrolled(api)
    data = await command(database_url, "data", str(student))
    assert orjson.loads(data.stdout)["details"][0]["email"] == EMAIL
    page = await command(database_url, "data", str(student), "--html")
    assert page.stdout.startswith("<!DOCTYPE html>")
    dry_run = await command(database_url, "erase", str(student), "--dry-run")
    assert (dry_run.exit_code, "Nothing was done" in dry_run.stdout) == (0, True)
    assert "vault.person" in await tables_with_personal_data(owner)
    for message in ("was erased, and the account is closed", "was erased already"):
        done_ = await command(database_url, "erase", str(student))
        assert (done_.exit_code, message in done_.stdout) == (0, True), done_.output
    assert await tables_with_personal_data(owner) == []
    last = await command(database_url, "erase", str(HEAD))
    assert isinstance(last.exception, DomainError)
    unknown = await command(database_url, "erase", "999999")
    assert isinstance(unknown.exception, NotFound)
