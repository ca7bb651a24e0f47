"""A diploma counts as the 12th mark of a student who has no 12th mark, wherever eligibility is evaluated."""

import asyncpg
import pytest

from tests.conftest import Api
from tests.integration.test_reevaluation import drive, enrolled, queued, revised, selected
from tests.support.job_worker import done, working

pytestmark = pytest.mark.usefixtures("no_polls")

Owner = asyncpg.Connection

# Diploma, 12th mark, whether a drive with min_12th 60 selects the student, and the field that decides this.
RECORDS = [
    ("65", None, True, "diploma_percent"),
    ("55", None, False, "diploma_percent"),
    ("90", "50", False, "twelfth_percent"),
    (None, "60", True, "twelfth_percent"),
    (None, None, False, "twelfth_percent"),
]


async def test_a_diploma_counts_only_without_a_twelfth_mark(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    students = [
        await enrolled(api, number, diploma_percent=diploma, twelfth_percent=twelfth)
        for number, (diploma, twelfth, _, _) in enumerate(RECORDS)
    ]
    posted = (await drive(api, min_12th="60"))["drive_id"]
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
    eligible = [id_ for id_, (_, _, meets, _) in zip(students, RECORDS, strict=True) if meets]
    assert await selected(owner, posted) == eligible
    listed = (await api.get(f"/api/eligibility/{posted}/list", "COORDINATOR")).json()
    assert [(student["student_id"], student["diploma_percent"]) for student in listed] == [
        (students[0], "65.00"),
        (students[3], None),
    ]
    as_of_now = (await api.get(f"/api/drives/{posted}/eligibility", "COORDINATOR")).json()
    assert [student["student_id"] for student in as_of_now["students"]] == eligible
    filtered = await api.post(f"/api/eligibility/{posted}/filter", "COORDINATOR", json={"min_12th": "60"})
    assert filtered.json()["studentIds"] == eligible
    for student, (diploma, twelfth, meets, field) in zip(students, RECORDS, strict=True):
        verdict = (await api.get(f"/api/eligibility/{posted}/check", "STUDENT", student)).json()
        assert verdict["eligible"] is meets
        query = {"student_id": student}
        explained = (await api.get(f"/api/eligibility/{posted}/explain", "COORDINATOR", params=query)).json()
        [criterion] = explained["criteria"]
        mark = diploma if field == "diploma_percent" else twelfth
        assert (criterion["judged_on"], criterion["actual"]) == (field, mark and f"{mark}.00")
        registered = await api.post(f"/api/registrations/{posted}/register", "STUDENT", student)
        assert registered.status_code == (201 if meets else 403), registered.text


@pytest.mark.parametrize(("mark", "now"), [("59.99", []), ("60", [0])])
async def test_a_corrected_diploma_is_reevaluated(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, mark: str, now: list[int]
) -> None:
    student = await enrolled(api, 1, diploma_percent="70" if not now else "50")
    posted = (await drive(api, min_12th="60"))["drive_id"]
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        await revised(api, student, diploma_percent=mark)
        assert len(await queued(owner)) == 1
        await done(worker, *await queued(owner))
    assert await selected(owner, posted) == [student for _ in now]
