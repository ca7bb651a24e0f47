"""The sub-filter narrows the list of eligible students."""

from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from tests.conftest import Api
from tests.support.bulk_students import DRIVE, PLAIN_COUNT, enrol

Owner = asyncpg.Connection

PLAIN = """
SELECT u.user_id, s.cgpa, s.branch, s.active_backlogs FROM students s JOIN users u ON u.user_id = student_id
 WHERE s.cgpa >= 6 AND tenth_percent >= 60 AND twelfth_percent >= 60
 ORDER BY s.cgpa DESC, u.name
"""


async def filtered(api: Api, drive_id: int, **query: Any) -> dict[str, Any]:
    answer = await api.get(f"/api/subfilter/{drive_id}/apply", "COORDINATOR", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_answer_has_the_filtered_students_and_both_counts(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await enrol(owner, 400)
    drive_id = (await api.post("/api/drives", json=DRIVE | {"max_backlogs": ""})).json()["drive_id"]
    eligible = [dict(row) for row in await owner.fetch(PLAIN)]
    everyone = await filtered(api, drive_id)
    assert everyone["total"] == everyone["filtered_count"] == len(eligible) > await owner.fetchval(PLAIN_COUNT)
    assert everyone["unique_branches"] == ["CSE", "ECE", "ME"]
    assert [student["user_id"] for student in everyone["students"]] == [row["user_id"] for row in eligible]
    best = everyone["students"][0]
    row = await owner.fetchrow(
        "SELECT * FROM students JOIN users ON user_id = student_id WHERE user_id = $1", best["user_id"]
    )
    assert row is not None
    assert best == {
        "user_id": row["user_id"], "name": row["name"], "email": row["email"], "department": None,
        "roll_number": row["roll_number"], "branch": row["branch"], "cgpa": str(row["cgpa"]),
        "active_backlogs": row["active_backlogs"],
    }  # fmt: skip
    limits = {"cgpa_min": "7", "cgpa_max": "9.5", "branch": "CSE", "exclude_backlogs": 2}
    some = await filtered(api, drive_id, **limits)
    assert (some["total"], some["unique_branches"]) == (len(eligible), ["CSE", "ECE", "ME"])
    assert [student["user_id"] for student in some["students"]] == [
        row["user_id"]
        for row in eligible
        if Decimal(7) <= row["cgpa"] <= Decimal("9.5") and row["branch"] == "CSE" and row["active_backlogs"] < 2
    ]
    assert 0 < some["filtered_count"] == len(some["students"]) < len(eligible)


async def test_an_empty_result_is_no_error_but_an_unknown_drive_is(api: Api) -> None:
    drive_id = (await api.post("/api/drives", json=DRIVE)).json()["drive_id"]
    assert await filtered(api, drive_id) == {"total": 0, "filtered_count": 0, "students": [], "unique_branches": []}
    answer = await api.get("/api/subfilter/99/apply", "COORDINATOR")
    assert (answer.status_code, answer.json()["message"]) == (404, "Drive not found")


@pytest.mark.parametrize(
    "query", ["cgpa_min=x", "cgpa_max=11", "cgpa_min=NaN", "exclude_backlogs=-1", "branch=", "branch=%00"]
)
async def test_the_error_names_the_wrong_limit(api: Api, query: str) -> None:
    answer = await api.get(f"/api/subfilter/1/apply?{query}", "COORDINATOR")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["message"]


async def test_only_a_coordinator_may_use_the_subfilter(api: Api) -> None:
    for role in ("STUDENT", "STAFF", "HEAD"):
        assert (await api.get("/api/subfilter/1/apply", role)).status_code == 403
