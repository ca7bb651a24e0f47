"""Evaluations as the worker runs them: the selected students, the recorded result, and precedence of newer events."""

import asyncio
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from contracts.jobs import Channel, State
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, PLAIN_COUNT, enrol
from tests.support.job_worker import done, done_in_order, working

Owner = asyncpg.Connection

SELECTED = "SELECT student_id FROM selections WHERE drive_id = $1 AND revoked_version IS NULL ORDER BY student_id"
RESULTS = "SELECT data FROM es.event WHERE type = 'placewire.eligibility.evaluated.v1' ORDER BY position"


pytestmark = pytest.mark.usefixtures("no_polls")


async def created(api: Api, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/api/drives", json={**DRIVE, **changes})
    assert answer.status_code in (201, 202), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def selected(owner: "Owner[asyncpg.Record]", drive_id: int) -> list[int]:
    return [row["student_id"] for row in await owner.fetch(SELECTED, drive_id)]


async def test_auto_publishing_selects_all_eligible_students(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 500)
    drive = await created(api, auto_calc=True)
    assert (drive["status"], drive["auto_published"], drive["job"]["state"]) == ("posted", True, "queued")
    async with working(database_url) as worker:
        [job] = await done(worker, drive["job"]["id"])
    assert (job.state, job.channel, job.attempts) == (State.SUCCEEDED, Channel.KAFKA, 1)
    expected = await owner.fetchval(PLAIN_COUNT)
    assert job.result is not None
    assert job.result["selected"] == len(await selected(owner, drive["drive_id"])) == expected > 0


async def test_publishing_again_replaces_the_selections_and_counts_the_difference(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 500)
    drive = await created(api, auto_calc=True)
    path = f"/api/drives/{drive['drive_id']}"
    async with working(database_url) as worker:
        await done(worker, drive["job"]["id"])
        everyone = await selected(owner, drive["drive_id"])
        listed = await api.post(f"{path}/publish", "COORDINATOR", json={"selected_students": everyone[:3]})
        [job] = await done(worker, listed.json()["job"]["id"])
        assert job.result == {
            "drive_id": drive["drive_id"], "drive_version": 3, "eligible": len(everyone), "selected": 3,
            "newly_selected": 0, "no_longer_selected": len(everyone) - 3,
            "registered_no_longer_eligible": 0, "unchanged": 3,
        }  # fmt: skip
        assert await selected(owner, drive["drive_id"]) == everyone[:3]
        republished = await api.post(f"{path}/publish", "COORDINATOR")
        [job] = await done(worker, republished.json()["job"]["id"])
        assert job.result is not None
        assert (job.result["newly_selected"], job.result["unchanged"]) == (len(everyone) - 3, 3)
    assert await selected(owner, drive["drive_id"]) == everyone


async def test_new_criteria_of_a_posted_drive_are_applied(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 500)
    drive = await created(api, auto_calc=True)
    async with working(database_url) as worker:
        await done(worker, drive["job"]["id"])
        revised = await api.patch(
            f"/api/drives/{drive['drive_id']}", json={"min_cgpa": "8.5", "branches": ["CSE"], "max_backlogs": ""}
        )
        assert revised.json()["min_cgpa"] == "8.50"
        assert revised.json()["max_backlogs"] is None
        await done(worker, revised.json()["job"]["id"])
    expected = await owner.fetch(
        "SELECT student_id FROM students WHERE cgpa >= 8.5 AND tenth_percent >= 60 AND twelfth_percent >= 60"
        " AND branch = 'CSE' ORDER BY 1"
    )
    assert await selected(owner, drive["drive_id"]) == [row["student_id"] for row in expected]


async def test_evaluating_a_pending_drive_counts_students_and_selects_none(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 300)
    drive = await created(api)
    requested = await api.post(f"/api/drives/{drive['drive_id']}/trigger-eligibility")
    assert requested.json()["message"] == "Eligibility filtering triggered successfully"
    async with working(database_url) as worker:
        [job] = await done(worker, requested.json()["job"]["id"])
    assert job.result is not None
    assert job.result["eligible"] == await owner.fetchval(PLAIN_COUNT)
    assert await selected(owner, drive["drive_id"]) == []


async def test_an_older_event_after_a_newer_one_changes_nothing(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 300)
    drive = await created(api, auto_calc=True)
    newer = await api.patch(f"/api/drives/{drive['drive_id']}", json={"min_cgpa": "9"})
    await done_in_order(owner, database_url, newer.json()["job"]["id"])
    after_newer = await selected(owner, drive["drive_id"])
    [job] = await done_in_order(owner, database_url, drive["job"]["id"])
    assert job.result == {"superseded": True}
    assert await selected(owner, drive["drive_id"]) == after_newer
    assert len(await owner.fetch(RESULTS)) == 1


async def test_a_job_of_a_deleted_drive_ends_without_effect(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 100)
    drive = await created(api, auto_calc=True)
    await api.delete(f"/api/drives/{drive['drive_id']}")
    async with working(database_url) as worker:
        [job] = await done(worker, drive["job"]["id"])
    assert job.result == {"superseded": True}
    assert await selected(owner, drive["drive_id"]) == []


async def test_concurrent_publications_end_with_the_selections_of_the_last_version(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """For each version, one request succeeds and the others get 409. The selections are those of the last version."""
    ids = await enrol(owner, 200)
    drive = await created(api, min_cgpa="0", min_10th="0", min_12th="0", max_backlogs="9")
    eligible = [
        row["student_id"] for row in await owner.fetch("SELECT student_id FROM students WHERE cgpa IS NOT NULL")
    ]
    assert len(ids) == 200

    async def publish(number: int) -> Any:
        return await api.post(
            f"/api/drives/{drive['drive_id']}/publish", json={"selected_students": sorted(eligible)[: number + 1]}
        )

    answers = await asyncio.gather(*(publish(number) for number in range(20)))
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert accepted
    versions = await owner.fetch(
        "SELECT version, data #>> '{requested,count}' AS count FROM es.event WHERE stream_id = $1"
        " AND type = 'placewire.drive.published.v1' ORDER BY version",
        f"drive-{drive['drive_id']}",
    )
    assert [row["version"] for row in versions] == list(range(2, 2 + len(accepted)))
    async with working(database_url) as worker:
        await done(worker, *(answer.json()["job"]["id"] for answer in accepted))
    assert len(await selected(owner, drive["drive_id"])) == int(versions[-1]["count"])


async def test_a_list_with_an_ineligible_student_changes_nothing(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    await enrol(owner, 60)
    drive = await created(api)
    wrong = [row["student_id"] for row in await owner.fetch("SELECT student_id FROM students WHERE cgpa IS NULL")]
    answer = await api.post(
        f"/api/drives/{drive['drive_id']}/publish", json={"selected_students": [*wrong, 999_999_999]}
    )
    assert answer.status_code == 422
    assert f"{len(wrong) + 1} of the selected students are not eligible" in answer.json()["message"]
    assert str(wrong[0]) in answer.json()["message"]
    assert await owner.fetchval("SELECT count(*) FROM requested_selection") == 0
    assert (await api.get(f"/api/drives/{drive['drive_id']}")).json()["status"] == "pending"


async def test_readers_never_see_partly_replaced_selections(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await enrol(owner, 2000)
    drive = await created(api, auto_calc=True)
    counts_seen: set[int] = set()
    async with working(database_url) as worker:
        await done(worker, drive["job"]["id"])

        async def count_selected() -> None:
            while True:
                counts_seen.add(len(await selected(owner, drive["drive_id"])))
                await asyncio.sleep(0)

        reader = asyncio.create_task(count_selected())
        for cgpa in ("7", "6", "8", "6"):
            answer = await api.patch(f"/api/drives/{drive['drive_id']}", json={"min_cgpa": cgpa})
            await done(worker, answer.json()["job"]["id"])
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    allowed = {
        await owner.fetchval(PLAIN_COUNT.replace("cgpa >= 6", "cgpa >= $1"), Decimal(cgpa)) for cgpa in ("6", "7", "8")
    }
    assert counts_seen <= allowed
    assert 0 not in counts_seen
