"""When marks change, the affected posted drives reevaluate exactly the changed students, once."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chassis.eventstore.event_store import Cause, fresh_ids
from contracts.jobs import State
from contracts.users import Role
from services.api.drives.sql import LOCK_REGISTRATIONS_SHARED
from services.api.registrations import handlers as registrations
from services.api.students import handlers
from services.api.students.decider import ReviseRecord
from tests.conftest import Api
from tests.integration.test_notifications import add_user
from tests.support.bulk_students import DRIVE
from tests.support.drive_scenarios import register, stop
from tests.support.eventually import eventually
from tests.support.job_worker import done, done_in_order, wake, working
from tests.support.sizes import sized

Owner = asyncpg.Connection

SELECTED = "SELECT student_id FROM selections WHERE drive_id = $1 AND revoked_version IS NULL ORDER BY student_id"
# Compares the selections of all posted drives with the current marks and lists: rows that are too many or missing.
FROM_SCRATCH = """
WITH wanted AS (
    SELECT d.drive_id, s.student_id
      FROM drives d JOIN students s
        ON meets_criteria(marks_of(s), criteria_of(d))
     CROSS JOIN LATERAL (
           SELECT version, coalesce(data -> 'requested', 'null') <> 'null' AS listed FROM es.event
            WHERE stream_id = 'drive-' || d.drive_id AND type = 'placewire.drive.published.v1'
            ORDER BY version DESC LIMIT 1) p
     WHERE d.status = 'posted' AND (NOT p.listed OR EXISTS (
           SELECT FROM requested_selection r
            WHERE r.drive_id = d.drive_id AND r.drive_version = p.version AND r.student_id = s.student_id))
), standing AS (
    SELECT c.drive_id, c.student_id FROM selections c JOIN drives d USING (drive_id)
     WHERE d.status = 'posted' AND c.revoked_version IS NULL
)
SELECT drive_id, student_id, w IS NULL AS too_many FROM wanted w FULL JOIN standing s USING (drive_id, student_id)
 WHERE w IS NULL OR s IS NULL
"""
WAITING = """
SELECT count(*) FROM pg_locks
 WHERE NOT granted AND locktype = 'advisory'
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
WAITING_FOR_A_ROW = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
DEADLOCKS = """
SELECT deadlocks FROM pg_stat_database, LATERAL pg_sleep(0.2) WHERE datname = current_database()
"""
QUEUED = "SELECT id FROM es.job WHERE finished_at IS NULL ORDER BY seq"
EVENTS = "SELECT data FROM es.event WHERE type = $1 ORDER BY position"
REQUESTED = "placewire.drive.reevaluation-requested.v1"
EVALUATED = "placewire.eligibility.evaluated.v1"


pytestmark = pytest.mark.usefixtures("no_polls")


async def enrolled(api: Api, number: int, **record: Any) -> int:
    body = {"name": f"S {number}", "email": f"s{number}@college.edu", "roll_number": f"R{number}"}
    answer = await api.post("/api/students", json=body | record)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["student_id"])


async def revised(api: Api, student_id: int, **changes: Any) -> None:
    answer = await api.patch(f"/api/students/{student_id}", json=changes)
    assert answer.status_code == 200, answer.text


async def drive(api: Api, **changes: Any) -> dict[str, Any]:
    """Create a drive without criteria that is published at once. ``changes`` may set criteria or other fields."""
    no_criteria = dict.fromkeys(("min_cgpa", "min_10th", "min_12th", "max_backlogs"), "")
    answer = await api.post("/api/drives", json={**DRIVE, **no_criteria, "auto_calc": True, **changes})
    assert answer.status_code in (201, 202), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def queued(owner: "Owner[asyncpg.Record]") -> list[str]:
    return [str(row["id"]) for row in await owner.fetch(QUEUED)]


async def selected(owner: "Owner[asyncpg.Record]", drive_id: int) -> list[int]:
    return [row["student_id"] for row in await owner.fetch(SELECTED, drive_id)]


async def test_changed_marks_select_or_deselect_only_that_student(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    one, second = [await enrolled(api, number, cgpa=cgpa) for number, cgpa in enumerate(("8.00", "6.00"))]
    posted = await drive(api, min_cgpa="7")
    unaffected = await drive(api, min_cgpa="2")
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await revised(api, one, cgpa="6.99")
        await revised(api, one, roll_number="R-new")
        [job] = await done(worker, *await queued(owner))
        assert job.subject == f"drive-{posted['drive_id']}", f"drive {unaffected['drive_id']} is not affected"
        assert job.result is not None
        assert {name: job.result[name] for name in ("selected", "newly_selected", "no_longer_selected")} == {
            "selected": 0, "newly_selected": 0, "no_longer_selected": 1,
        }  # fmt: skip
        await revised(api, second, cgpa="7.00")
        [job] = await done(worker, *await queued(owner))
    assert job.result is not None
    assert (job.result["newly_selected"], job.result["selected"], job.result["eligible"]) == (1, 1, 1)
    assert await selected(owner, posted["drive_id"]) == [second]
    requested = [row["data"]["students"] for row in await _events(owner, REQUESTED)]
    assert requested == [{"first": one, "last": one}, {"first": second, "last": second}]
    assert await owner.fetchval("SELECT selected FROM evaluations WHERE drive_id = $1", posted["drive_id"]) == 1


async def _events(owner: "Owner[asyncpg.Record]", type_: str) -> list[dict[str, Any]]:
    return [{"data": orjson.loads(row["data"])} for row in await owner.fetch(EVENTS, type_)]


async def test_a_drive_with_a_list_selects_only_students_of_the_list(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    listed, unlisted = [await enrolled(api, number, cgpa="8.00") for number in range(2)]
    posted = await drive(api, min_cgpa="7", auto_calc=False)
    path = f"/api/drives/{posted['drive_id']}"
    await api.post(f"{path}/publish", "COORDINATOR", json={"selected_students": [listed]})
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        for student in (listed, unlisted):
            await revised(api, student, cgpa="5.00")
        assert len(await queued(owner)) == 1, "a student outside of the list affects no drive"
        await done(worker, *await queued(owner))
        assert await selected(owner, posted["drive_id"]) == []
        for student in (listed, unlisted):
            await revised(api, student, cgpa="9.00")
        await enrolled(api, 3, cgpa="9.50")
        await done(worker, *await queued(owner))
    assert await selected(owner, posted["drive_id"]) == [listed]


async def test_new_students_cause_one_reevaluation_of_each_affected_drive(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    drives = [(await drive(api, min_cgpa=cgpa))["drive_id"] for cgpa in ("6", "8", "10")]
    rows = "".join(f"N {n},n{n}@college.edu,I{n},{6 + n % 3}\n" for n in range(90))
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        file = {"file": ("a.csv", "name,email,roll_number,cgpa\n" + rows, "text/csv")}
        answer = await api.post("/api/students/import?dry_run=false", files=file)
        assert answer.status_code == 200, answer.text
        jobs = await done(worker, *await queued(owner))
    assert sorted(job.subject for job in jobs) == [f"drive-{id_}" for id_ in drives[:2]]
    assert [len(await selected(owner, id_)) for id_ in drives] == [90, 30, 0]
    assert {row["data"]["import_id"] for row in await _events(owner, REQUESTED)} == {answer.json()["import_id"]}


async def test_a_reevaluation_does_not_supersede_evaluations_that_did_not_run_yet(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """The reevaluation runs first, although criteria changed before and after its request."""
    students = [await enrolled(api, number, cgpa=cgpa) for number, cgpa in enumerate(("9.00", "7.50", "6.50"))]
    posted = await drive(api, min_cgpa="7")
    path = f"/api/drives/{posted['drive_id']}"
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
    earlier = (await api.patch(path, json={"min_cgpa": "6"})).json()["job"]["id"]
    await revised(api, students[0], cgpa="5.00")
    [again] = [id_ for id_ in await queued(owner) if id_ != earlier]
    later = (await api.patch(path, json={"min_cgpa": "8"})).json()["job"]["id"]
    [job] = await done_in_order(owner, database_url, again)
    assert job.result is not None
    assert job.result["no_longer_selected"] == 1
    assert await selected(owner, posted["drive_id"]) == [students[1]], "the criteria applied last must count"
    [job] = await done_in_order(owner, database_url, earlier)
    assert job.result is not None
    assert job.result["selected"] == 2, "the reevaluation must not supersede this evaluation"
    await done_in_order(owner, database_url, later)
    assert await selected(owner, posted["drive_id"]) == []


async def test_a_reevaluation_after_a_newer_evaluation_is_superseded(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    student = await enrolled(api, 1, cgpa="9.00")
    posted = await drive(api, min_cgpa="7")
    stopped = await drive(api, min_cgpa="7")
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
    await revised(api, student, cgpa="5.00")
    late_jobs = await queued(owner)
    newer = (await api.patch(f"/api/drives/{posted['drive_id']}", json={"min_cgpa": "6"})).json()["job"]["id"]
    await stop(api, stopped["drive_id"])
    _, *jobs = await done_in_order(owner, database_url, newer, *late_jobs)
    assert [job.result for job in jobs] == [{"superseded": True}] * 2
    assert await selected(owner, posted["drive_id"]) == []
    assert await selected(owner, stopped["drive_id"]) == [student], "nothing changes after registrations stopped"


async def test_deselected_students_and_staff_are_notified(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    for user_id, role in ((800_001, Role.STAFF), (800_002, Role.COORDINATOR)):
        await add_user(api, user_id, role)
    students = [await enrolled(api, number, cgpa="8.00") for number in range(3)]
    posted = await drive(api, min_cgpa="7")

    async def newest(user_id: int, role: str = "STUDENT") -> str:
        body = (await api.get("/api/notifications/mine", role, user_id)).json()
        return str(body["items"][0]["title"])

    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await register(api, posted["drive_id"], students[0])
        for student in students[:2]:
            await revised(api, student, cgpa="5.00")
        jobs = await done(worker, *await queued(owner))
    assert [job.result and job.result["registered_no_longer_eligible"] for job in jobs] == [1, 0]
    assert [await newest(id_) for id_ in students] == ["No Longer Selected"] * 2 + ["New Drive Available"]
    warning = "1 registered student is no longer eligible for Acme - SDE, and stays registered."
    for user_id, name in ((800_001, "STAFF"), (800_002, "COORDINATOR")):
        items = (await api.get("/api/notifications/mine", name, user_id)).json()["items"]
        assert [item["message"] for item in items if item["type"] == "warning"] == [warning]
    assert await owner.fetchval("SELECT count(*) FROM registrations") == 1


async def test_stricter_criteria_report_registered_students_who_lose_eligibility(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    students = [await enrolled(api, number, cgpa=cgpa) for number, cgpa in enumerate(("8.00", "7.00", "9.00"))]
    posted = await drive(api, min_cgpa="7")
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await register(api, posted["drive_id"], *students[1:])
        revision = await api.patch(f"/api/drives/{posted['drive_id']}", json={"min_cgpa": "8.5"})
        [job] = await done(worker, revision.json()["job"]["id"])
    newest = [(await api.get("/api/notifications/mine", "STUDENT", id_)).json()["items"][0] for id_ in students]
    assert [item["title"] for item in newest] == ["No Longer Selected"] * 2 + ["New Drive Available"]
    assert newest[0]["notification_id"] == newest[1]["notification_id"], "one row for all of them"
    assert job.result is not None
    assert (job.result["no_longer_selected"], job.result["registered_no_longer_eligible"]) == (2, 1)


async def test_a_registered_student_who_loses_eligibility_is_reported_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    students = [await enrolled(api, number, cgpa=cgpa) for number, cgpa in enumerate(("7.00", "8.00"))]
    posted = await drive(api, min_cgpa="7")
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await register(api, posted["drive_id"], students[0])
        jobs = []
        for least in ("9", "7.5"):  # first no student is eligible, then one who has not registered
            revision = await api.patch(f"/api/drives/{posted['drive_id']}", json={"min_cgpa": least})
            jobs += await done(worker, revision.json()["job"]["id"])
    assert [job.result and job.result["selected"] for job in jobs] == [0, 1]
    assert [job.result and job.result["registered_no_longer_eligible"] for job in jobs] == [1, 0]


@pytest.mark.parametrize("changed", ["marks", "criteria"])
async def test_an_evaluation_waits_for_and_counts_a_concurrent_registration(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, changed: str
) -> None:
    student = await enrolled(api, 1, cgpa="8.00")
    posted = (await drive(api, min_cgpa="7"))["drive_id"]
    cause = Cause(source="test", correlation_id=uuid4())
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        async with api.database.transaction() as connection:
            await registrations.register(connection, posted, student, cause, uuid4())
            if changed == "marks":
                await revised(api, student, cgpa="5.00")
            else:
                await api.patch(f"/api/drives/{posted}", json={"min_cgpa": "9"})
            [job_id] = await queued(owner)
            wake(worker, [UUID(job_id)])
            await eventually(lambda: owner.fetchval(WAITING))
        [job] = await done(worker, job_id)
    assert job.result is not None
    assert (job.result["no_longer_selected"], job.result["registered_no_longer_eligible"]) == (1, 1)


async def test_a_registration_does_not_wait_for_an_evaluation(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    students = [await enrolled(api, number, cgpa="8.00") for number in range(2)]
    posted = (await drive(api, min_cgpa="7"))["drive_id"]
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await revised(api, students[0], cgpa="5.00")
        [job_id] = await queued(owner)
        async with owner.transaction():
            await owner.execute("SELECT FROM es.stream WHERE stream_id = $1 FOR UPDATE", f"eligibility-{posted}")
            wake(worker, [UUID(job_id)])
            await eventually(lambda: owner.fetchval(WAITING_FOR_A_ROW))
            await register(api, posted, students[1])
        [job] = await done(worker, job_id)
    assert job.state is State.SUCCEEDED


async def test_deleting_a_drive_during_its_evaluation_does_not_deadlock(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    student = await enrolled(api, 1, cgpa="8.00")
    posted = (await drive(api, min_cgpa="7"))["drive_id"]
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await revised(api, student, cgpa="5.00")
        [job_id] = await queued(owner)
        async with api.database.transaction() as connection:
            await connection.execute(LOCK_REGISTRATIONS_SHARED, posted)  # like a registration that is rolled back
            deleting = asyncio.create_task(api.delete(f"/api/drives/{posted}"))
            await eventually(lambda: owner.fetchval(WAITING))
            wake(worker, [UUID(job_id)])
            await eventually(lambda: owner.fetchval(WAITING + " HAVING count(*) = 2"))
        answer = await deleting
        [job] = await done(worker, job_id)
    assert answer.status_code == 200, answer.text
    assert (job.state, job.attempts, job.result) == (State.SUCCEEDED, 1, {"superseded": True})
    assert await owner.fetchval(DEADLOCKS) == 0


async def test_new_criteria_wait_for_uncommitted_marks(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """The marks affect no drive under the old criteria, but one under the new criteria. So the criteria must wait."""
    student = await enrolled(api, 1, cgpa="6.00")
    posted = await drive(api, min_cgpa="9")
    cause = Cause(source="test", correlation_id=uuid4())
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        async with api.database.transaction() as connection:
            await handlers.revise(connection, ReviseRecord(student, {"cgpa": Decimal("8.00")}), cause, fresh_ids)
            lowering = asyncio.create_task(api.patch(f"/api/drives/{posted['drive_id']}", json={"min_cgpa": "7"}))
            await eventually(lambda: owner.fetchval(WAITING))
            assert await queued(owner) == []
        assert (await lowering).status_code == 202
        [job] = await done(worker, *await queued(owner))
    assert job.result is not None
    assert job.result["newly_selected"] == 1
    assert await selected(owner, posted["drive_id"]) == [student]


async def test_selections_are_right_after_concurrent_changes_of_marks_and_criteria(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    students = [await enrolled(api, number, cgpa="8.00") for number in range(8)]
    posted = [(await drive(api, min_cgpa="7"))["drive_id"] for _ in range(3)]
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        for round_ in range(sized(small=2, full=20)):
            marks = [revised(api, id_, cgpa=f"{5 + (round_ + n) % 4}.00") for n, id_ in enumerate(students)]
            criteria = [api.patch(f"/api/drives/{id_}", json={"min_cgpa": f"{6 + round_ % 2}.50"}) for id_ in posted]
            answers = await asyncio.gather(*marks, *criteria)
            assert {answer.status_code for answer in answers if answer is not None} <= {200, 202}, "no change may fail"
            await done(worker, *await queued(owner))
            assert await owner.fetch(FROM_SCRATCH) == []


# Random steps: the action, the index of the student or drive, and the new mark.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["revise", "revise", "criteria", "publish", "list", "import", "enrol", "stop", "work"]),
        st.integers(0, 7),
        st.integers(4, 10),
    ),
    min_size=6,
    max_size=16,
)


@pytest.mark.timeout(300)
async def test_selections_agree_with_an_evaluation_from_scratch_after_random_steps(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """Jobs run late, and the newest job runs first."""
    sequences: list[list[tuple[str, int, int]]] = []

    @settings(
        max_examples=sized(small=5, full=40), deadline=None, database=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(STEPS)
    def collect(steps: list[tuple[str, int, int]]) -> None:
        sequences.append(steps)

    collect()
    students = [await enrolled(api, number, cgpa=f"{number + 2}.00") for number in range(8)]
    drives: list[int] = []
    numbers = iter(range(100, 1_000_000))

    async def work() -> None:
        await done_in_order(owner, database_url, *reversed(await queued(owner)))

    for steps in sequences:
        for old_drive in drives[2:]:  # otherwise each change of marks would affect more and more drives
            await api.post(f"/api/drives/{old_drive}/stop-registrations", "COORDINATOR")
        drives = [(await drive(api, min_cgpa="6"))["drive_id"] for _ in range(2)] + drives[:2]
        for action, index, mark in steps:
            path = f"/api/drives/{drives[index % len(drives)]}"
            match action:
                case "revise":
                    await revised(api, students[index], cgpa=f"{mark}.00")
                case "criteria":
                    await api.patch(path, json={"min_cgpa": f"{mark}"})
                case "publish":
                    await api.post(f"{path}/publish")
                case "list":
                    await api.post(f"{path}/publish", json={"selected_students": students[: index + 1]})
                case "enrol":
                    await enrolled(api, next(numbers), cgpa=f"{mark}.00")
                case "import":
                    rows = "".join(f"N,n{n}@c.edu,I{n},{mark}\n" for n in (next(numbers), next(numbers)))
                    file = {"file": ("a.csv", "name,email,roll_number,cgpa\n" + rows, "text/csv")}
                    assert (await api.post("/api/students/import?dry_run=false", files=file)).status_code == 200
                case "stop":
                    await api.post(f"{path}/stop-registrations", "COORDINATOR")
                case "work":
                    await work()
        await work()
        assert await owner.fetch(FROM_SCRATCH) == [], steps
    assert await owner.fetchval("SELECT count(*) FROM es.job WHERE state <> $1", State.SUCCEEDED) == 0
    partial = "SELECT count(*) FROM es.event WHERE type = $1 AND data #>> '{students,first}' IS NOT NULL"
    assert await owner.fetchval(partial, EVALUATED) > 5
