"""From HTTP to selections, through every process."""

import asyncpg

from tests.eventually import eventually
from tests.system import System

DRIVE = {"company_name": "Acme", "job_title": "SDE", "min_cgpa": "6", "min_10th": "60", "min_12th": "60",
         "max_backlogs": "0", "auto_calc": True}  # fmt: skip

STUDENTS = """
SELECT project('student', array_agg(ROW(i, '1'::xid8, '1'::xid8, 'student-' || i, 1, gen_random_uuid(),
       'placewire.student.enrolled.v1', jsonb_build_object('student_id', i, 'name', 'N' || i, 'email', i || '@college.edu',
       'record', jsonb_build_object('roll_number', 'R' || i, 'branch', 'CSE', 'batch_year', 2027, 'cgpa', (i % 100) / 10.0,
       'tenth_percent', 50 + i % 50, 'twelfth_percent', 50 + i % 45, 'active_backlogs', i % 3)),
       '{}'::jsonb, now())::es.event)) FROM generate_series(1, $1) i
"""


async def bus_is_trusted(system: System) -> bool:
    async with system.client() as client:
        return (await client.get("/readyz")).json()["bus"]["eligibility"] == "closed"


async def test_a_drive_published_over_the_bus_selects_everyone_eligible(
    system: System, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await owner.execute(STUDENTS.replace("$1", "1000"))
    system.start_all()
    await eventually(lambda: bus_is_trusted(system), within_s=30)
    async with system.client() as client:
        answer = await client.post("/api/drives", json=DRIVE, headers={"Prefer": "wait=10"})
        assert answer.status_code == 200, answer.text
        job = answer.json()["job"]
        assert (job["state"], job["via"], job["delivery"]) == ("succeeded", "bus", "bus")
        plain = await owner.fetchval(
            "SELECT count(*) FROM students WHERE cgpa >= 6 AND tenth_percent >= 60 AND twelfth_percent >= 60"
            " AND active_backlogs <= 0"
        )
        assert job["result"]["selected"] == plain > 0
