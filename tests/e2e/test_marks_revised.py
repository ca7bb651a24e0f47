"""A corrected mark changes selections and notifications, through every process, with and without Kafka."""

from typing import Any

import asyncpg
import httpx
import pytest

from contracts.users import Role
from tests.support.bulk_students import DRIVE
from tests.support.eventually import eventually
from tests.support.system import System, bearer

SELECTED = "SELECT count(*) FROM selections WHERE drive_id = $1 AND student_id = $2 AND revoked_version IS NULL"
CHANNELS = """
SELECT j.channel FROM es.job j JOIN es.event e ON e.event_id = j.id
 WHERE e.type = 'placewire.drive.reevaluation-requested.v1' AND j.state = 'succeeded' ORDER BY j.seq
"""
CRITERIA = {**DRIVE, "min_cgpa": "7", "min_10th": "", "min_12th": "", "auto_calc": True}


async def enrolled(client: httpx.AsyncClient, cgpa: str) -> int:
    body = {"name": "Asha", "email": "asha@college.edu", "roll_number": "R1", "cgpa": cgpa}
    return int((await client.post("/api/students", json=body)).json()["student_id"])


async def titles(client: httpx.AsyncClient, student: int) -> list[str]:
    answer = await client.get("/api/notifications/mine", headers=bearer(Role.STUDENT, student))
    return [item["title"] for item in answer.json()["items"]]


@pytest.mark.full_only
async def test_a_corrected_mark_selects_and_deselects_with_kafka(
    kafka_system: System, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    kafka_system.start_all()
    await kafka_system.until_bus_is_trusted()
    await selects_and_deselects(kafka_system, owner, "kafka")


async def test_a_corrected_mark_selects_and_deselects_without_kafka(
    system: System, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    system.start_together("eligibility", "api")
    await selects_and_deselects(system, owner, "poll")


async def selects_and_deselects(system: System, owner: "asyncpg.Connection[asyncpg.Record]", channel: str) -> None:
    async with system.client() as client:
        student = await enrolled(client, "8.00")
        answer = await client.post("/api/drives", json=CRITERIA, headers={"Prefer": "wait=20"})
        assert (answer.status_code, answer.json()["job"]["result"]["selected"]) == (200, 1), answer.text
        drive_id = answer.json()["drive_id"]
        explain = f"/api/eligibility/{drive_id}/explain"
        for cgpa, count in (("6.50", 0), ("7.50", 1)) * 2:
            await client.patch(f"/api/students/{student}", json={"cgpa": cgpa})

            async def selected(count: int = count) -> bool:
                return bool(await owner.fetchval(SELECTED, drive_id, student) == count)

            await eventually(selected)
            explained: dict[str, Any] = (await client.get(explain, headers=bearer(Role.STUDENT, student))).json()
            assert explained["decision"]["selected"] is explained["eligible"] is bool(count)
        assert await titles(client, student) == [
            "New Drive Available",
            *["No Longer Selected", "New Drive Available"] * 2,
        ]
    # A poll may be faster than Kafka.
    channels = [row["channel"] for row in await owner.fetch(CHANNELS)]
    assert len(channels) == 4
    assert {channel} <= set(channels) <= {channel, "poll"}
