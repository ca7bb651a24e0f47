"""Bring drives into the states of their life cycle: published, with registrations, stopped, marked, finished."""

from typing import Any

import asyncpg

from tests.conftest import Api
from tests.support.bulk_students import DRIVE

Owner = asyncpg.Connection
EVERYONE = {"min_cgpa": "", "min_10th": "", "min_12th": "", "max_backlogs": ""}


async def posted(api: Api, **changes: Any) -> int:
    """Create a drive without criteria and publish it to all students. Return its id."""
    answer = await api.post("/api/drives", json={**DRIVE, **EVERYONE, "auto_calc": True, **changes})
    assert answer.status_code == 202, answer.text
    return int(answer.json()["drive_id"])


async def register(api: Api, drive_id: int, *student_ids: int) -> list[dict[str, Any]]:
    answers = [await api.post(f"/api/registrations/{drive_id}/register", "STUDENT", id_) for id_ in student_ids]
    assert [answer.status_code for answer in answers] == [201] * len(answers), answers[-1].text
    return [answer.json() for answer in answers]


async def stop(api: Api, drive_id: int) -> None:
    answer = await api.post(f"/api/drives/{drive_id}/stop-registrations", "COORDINATOR")
    assert answer.status_code == 200, answer.text


async def mark(api: Api, drive_id: int, **marks: str) -> list[dict[str, Any]]:
    """Mark attendance. For example, ``mark(api, 1, s7="PRESENT")`` marks student 7 in drive 1."""
    path = f"/api/attendance/{drive_id}/mark"
    answers = [
        await api.post(path, "COORDINATOR", json={"student_id": int(student[1:]), "status": status})
        for student, status in marks.items()
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers), answers[-1].text
    return [answer.json() for answer in answers]


async def finished(api: Api, present: list[int], absent: list[int], **changes: Any) -> int:
    """Create and finish a drive for which these students registered. Return its id."""
    drive_id = await posted(api, **changes)
    await register(api, drive_id, *present, *absent)
    await stop(api, drive_id)
    await mark(api, drive_id, **{f"s{id_}": "PRESENT" for id_ in present}, **{f"s{id_}": "ABSENT" for id_ in absent})
    answer = await api.post(f"/api/attendance/{drive_id}/publish", "COORDINATOR")
    assert answer.status_code == 200, answer.text
    return drive_id
