"""``placewire verify`` reports no difference on an undamaged busy system, and finds each kind of damage."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Database
from cli.failures import Failure
from cli.replay.comparison import Cell, RowDifference
from cli.replay.verification import Findings, ProgressCallbacks
from cli.replay.verification import verify as verify_at
from contracts.users import PasswordChanged, Role, RoleChanged
from tests.conftest import Api
from tests.support.accounts import add_user
from tests.support.system import as_role

Owner = asyncpg.Connection
pytestmark = pytest.mark.damages
UNWATCHED = ProgressCallbacks(began=lambda _: None, projected=lambda _: None)


async def verify(database_url: str, *, limit: int = 20) -> Findings:
    return await verify_at(database_url, UNWATCHED, limit=limit)


def differences(findings: Findings) -> dict[str, int]:
    """Return the number of differences of each table and check that has some."""
    tables = {comparison.table.name: comparison.different for comparison in findings.tables}
    checks = {check.name: check.wrong for check in findings.checks}
    return {name: count for name, count in (tables | checks).items() if count}


async def test_an_undamaged_system_has_no_difference(sound: str) -> None:
    findings = await verify(sound)
    assert differences(findings) == {}
    assert findings.events > 320
    rows = {comparison.table.name: comparison.live_rows for comparison in findings.tables}
    assert (rows["users"], rows["students"], rows["drives"], rows["evaluations"]) == (315, 312, 2, 1)
    checked = {check.name: check.checked for check in findings.checks}
    assert checked["students selected"] == 10
    assert (checked["lists of publications"], checked["imports"], checked["work asked for"]) == (1, 1, 10)


async def test_missing_changed_and_extra_rows_are_reported(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    await owner.execute("DELETE FROM students WHERE student_id = 101")
    await owner.execute("UPDATE students SET cgpa = 1.25, branch = NULL WHERE student_id = 50")
    await owner.execute("INSERT INTO students (student_id, roll_number, active_backlogs) VALUES (9001, 'NEW', 0)")
    findings = await verify(sound)
    assert differences(findings) == {"students": 3}
    [missing, changed, added] = sorted(
        next(comparison for comparison in findings.tables if comparison.table.name == "students").differences,
        key=lambda difference: difference.only or "m",
        reverse=True,
    )
    assert missing == RowDifference(("101",), only="replayed")
    assert added == RowDifference(("9001",), only="live")
    assert (changed.key, changed.cells[1]) == (("50",), Cell("cgpa", "1.25", "9.99"))
    assert changed.cells[0].column == "branch"
    assert changed.cells[0].live is None


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE users SET email = 'x' || email WHERE user_id < 11", {"users": 10}),
        ("UPDATE users SET password_version = 7 WHERE user_id = 3", {"users": 1}),
        ("UPDATE drives SET status = 'finished' WHERE drive_id = 1", {"drives": 1}),
        ("DELETE FROM drives WHERE drive_id = 2", {"drives": 1}),
        ("UPDATE evaluations SET selected = selected + 1", {"evaluations": 1}),
        ("TRUNCATE evaluations", {"evaluations": 1}),
    ],
)
async def test_every_read_table_is_compared(
    damage: str, expected: dict[str, int], sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute(damage)
    assert differences(await verify(sound)) == expected


SOME_IN_FORCE = """(drive_id, student_id, selected_version) IN (
    SELECT drive_id, student_id, selected_version FROM selections
     WHERE drive_id = 1 AND selected_version = {version} AND revoked_version IS {revoked} ORDER BY 2 LIMIT 1)"""
IN_FORCE = SOME_IN_FORCE.format(version=6, revoked="NULL")
REVOKED = SOME_IN_FORCE.format(version=2, revoked="NOT NULL")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (f"DELETE FROM selections WHERE {IN_FORCE}", {"students selected", "selections in force"}),
        (f"DELETE FROM selections WHERE {REVOKED}", {"students selected", "selections revoked"}),
        (f"UPDATE selections SET student_id = 9001 WHERE {IN_FORCE}", {"students selected", "selections in force"}),
        (
            f"UPDATE selections SET revoked_version = NULL WHERE {REVOKED}",
            {"selections revoked", "selections in force"},
        ),
        ("INSERT INTO selections VALUES (2, 4, 1, now())", {"students selected", "selections in force"}),
        ("DELETE FROM requested_selection WHERE student_id = 5", {"lists of publications"}),
        ("INSERT INTO requested_selection VALUES (1, 2, 4)", {"lists of publications"}),
        ("UPDATE es.stream SET version = version + 1 WHERE stream_id = 'drive-1'", {"streams"}),
        ("DELETE FROM es.stream WHERE stream_id = 'student-101'", {"streams"}),
        ("INSERT INTO es.stream VALUES ('user-77', 'user', 1, '3')", {"streams"}),
        ("DELETE FROM vault.person WHERE person_id = 101", {"people", "users", "students"}),
        ("INSERT INTO vault.person VALUES (101, 2, 'A', 'a@college.edu', 'A')", {"people"}),
        ("DELETE FROM es.job WHERE subject = 'drive-3'", {"work asked for"}),
        ("UPDATE es.job SET subject = 'drive-2' WHERE subject = 'drive-3'", {"work asked for"}),
        ("UPDATE es.job SET state = 'failed' WHERE subject = 'drive-3'", {"results of jobs"}),
        (
            "INSERT INTO es.job (id, service, kind, subject, state)"
            " VALUES (gen_random_uuid(), 'eligibility', 'eligibility', 'drive-1', 'succeeded')",
            {"work asked for", "results of jobs"},
        ),
    ],
)
async def test_every_ledger_stream_and_job_is_checked(
    damage: str, expected: set[str], sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute(damage)
    findings = await verify(sound)
    assert differences(findings).keys() == expected
    assert all(check.faults for check in findings.checks if check.wrong)


async def test_a_deleted_event_is_reported_by_every_check_that_uses_it(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute("ALTER TABLE es.event DISABLE TRIGGER ALL")
    await owner.execute(
        "DELETE FROM es.event WHERE stream_id IN (SELECT 'student-' || student_id FROM students"
        " WHERE roll_number = 'CSV-1')"
    )
    assert differences(await verify(sound)) == {"users": 1, "students": 1, "imports": 1, "people": 1, "streams": 1}


async def test_all_differences_are_counted_and_the_first_are_listed(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    await owner.execute("UPDATE students SET cgpa = 0, active_backlogs = 99 WHERE student_id > 20")
    findings = await verify(sound, limit=5)
    students = next(comparison for comparison in findings.tables if comparison.table.name == "students")
    assert (students.different, len(students.differences)) == (295, 5)


async def test_concurrent_appends_cause_no_difference(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    """This holds even during an older open transaction, for which readers of the log must wait."""
    database = Database(as_role(sound, "placewire_api"), pool_size=6, application_name="test-writer")
    cause = Cause(source="test", correlation_id=uuid4())
    keep_writing = True

    async def write(first_id: int) -> None:
        for id_ in range(first_id, first_id + 10_000):
            events = [RoleChanged(user_id=id_, role=Role.COORDINATOR), PasswordChanged(user_id=id_)]
            async with database.transaction() as connection:
                await add_user(connection, id_, Role.STAFF)
            async with database.transaction() as connection:
                await event_store.append(connection, f"user-{id_}", events, cause, expected_version=1)
            if not keep_writing:
                return

    slow = owner.transaction()
    await slow.start()
    await owner.execute("SELECT pg_current_xact_id()")
    try:
        writers = [asyncio.create_task(write(first)) for first in (20_000, 40_000, 60_000)]
        runs = [await verify(sound) for _ in range(4)]
        keep_writing = False
        await asyncio.gather(*writers)
    finally:
        await slow.rollback()
        await database.close()
    assert [differences(findings) for findings in runs] == [{}] * 4
    assert runs[-1].events > runs[0].events


async def test_the_role_of_the_api_may_verify_and_no_object_is_left(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    objects = "SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text !~ '^pg_toast'"
    objects_before = await owner.fetchval(objects)
    assert differences(await verify(as_role(sound, "placewire_api"))) == {}
    await asyncio.sleep(0.2)
    assert await owner.fetchval(objects) == objects_before


async def test_a_projection_that_writes_to_a_live_table_is_stopped(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    await owner.execute("""
        CREATE OR REPLACE FUNCTION project_user(events es.event[]) RETURNS void LANGUAGE sql AS
        $$ UPDATE job_domains SET domain_name = domain_name || '!' $$
    """)
    with pytest.raises(Failure, match="was stopped"):
        await verify(sound)
    assert await owner.fetchval("SELECT count(*) FROM job_domains WHERE domain_name LIKE '%!'") == 0


async def test_a_new_table_is_compared(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    await owner.execute("CREATE TABLE new_screen (id integer PRIMARY KEY)")
    assert differences(await verify(sound)) == {}
    await owner.execute("INSERT INTO new_screen VALUES (1)")
    assert differences(await verify(sound)) == {"new_screen": 1}


async def test_a_roll_number_that_is_used_again_is_no_difference(api: Api, database_url: str) -> None:
    first = {"name": "A", "email": "a@college.edu", "roll_number": "R-1"}
    enrolled = await api.post("/api/students", json=first)
    assert enrolled.status_code == 201, enrolled.text
    revised = await api.patch(f"/api/students/{enrolled.json()['student_id']}", json={"roll_number": "R-2"})
    assert revised.status_code == 200, revised.text
    assert (await api.post("/api/students", json={**first, "email": "b@college.edu"})).status_code == 201
    assert (await verify(database_url)).differences == 0
