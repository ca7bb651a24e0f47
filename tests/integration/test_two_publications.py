"""Two heads publish one drive concurrently: both succeed, and the later publication counts."""

import asyncio
import json

import asyncpg

from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.drive_scenarios import EVERYONE
from tests.support.job_worker import done, working

HEADS = (900_001, 900_002)
PUBLICATIONS = """
SELECT version, data FROM es.event WHERE stream_id = 'drive-' || $1::integer AND type = 'placewire.drive.published.v1'
 ORDER BY version
"""
LISTED = "SELECT student_id FROM requested_selection WHERE drive_id = $1 AND drive_version = $2"
SELECTED = "SELECT student_id FROM selections WHERE drive_id = $1 AND revoked_version IS NULL"


async def test_both_publish_and_the_later_list_is_selected(
    api: Api, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    students = await enrol(owner, 2)
    created = await api.post("/api/drives", json={**DRIVE, **EVERYONE})
    drive_id = created.json()["drive_id"]
    path = f"/api/drives/{drive_id}/publish"
    answers = await asyncio.gather(
        *(
            api.post(path, "HEAD", head, json={"selected_students": [student]})
            for head, student in zip(HEADS, students, strict=True)
        )
    )
    assert [answer.status_code for answer in answers] == [202, 202], [answer.text for answer in answers]
    publications = await owner.fetch(PUBLICATIONS, drive_id)
    assert {json.loads(row["data"])["published_by"] for row in publications} == set(HEADS)
    async with working(database_url) as worker:
        await done(worker, *(answer.json()["job"]["id"] for answer in answers))
    listed = [row["student_id"] for row in await owner.fetch(LISTED, drive_id, publications[-1]["version"])]
    assert [row["student_id"] for row in await owner.fetch(SELECTED, drive_id)] == listed
