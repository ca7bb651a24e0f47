"""After topics were deleted, republishing gives a new reader all events, and no job runs twice."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from contracts import topics
from contracts.users import Role
from devstack.kafka import Kafka
from tests.support.bulk_students import DRIVE, enrol
from tests.support.drive_scenarios import EVERYONE
from tests.support.eventually import eventually
from tests.support.sizes import sized
from tests.support.system import ROOT, System, bearer

Owner = asyncpg.Connection
STUDENTS = sized(small=300, full=100_000)
WIPED = (topics.STUDENT, topics.REGISTRATION, topics.DRIVE)
CSV = "name,email,roll_number,branch\nA B,a.b@college.edu,CSV-1,CIVIL\nC D,c.d@college.edu,CSV-2,\n"

JOBS = "SELECT id, state, attempts, channel, finished_at FROM es.job ORDER BY id"
ENDED = "SELECT NOT EXISTS (SELECT FROM es.job WHERE finished_at IS NULL)"
SENT = "SELECT NOT EXISTS (SELECT FROM es.outbox WHERE event_id IS NOT NULL)"
LOG = "SELECT count(*), max(position) FROM es.event"
BRANCHES = """
SELECT coalesce(s.branch, '') AS branch, count(*) AS students, count(r.student_id) AS registered,
       count(p.student_id) AS present
  FROM students s
  LEFT JOIN (SELECT DISTINCT student_id FROM registrations) r USING (student_id)
  LEFT JOIN (SELECT DISTINCT student_id FROM attendance WHERE status = 'PRESENT') p USING (student_id)
 GROUP BY 1 ORDER BY 1
"""


async def a_season(system: System, owner: "Owner[asyncpg.Record]") -> None:
    """Record students of all origins, a revision of marks, and three drives: one finished, one open, one deleted."""
    ids = await enrol(owner, STUDENTS)
    async with system.client() as client:

        async def send(method: str, path: str, role: Role = Role.HEAD, **options: Any) -> Any:
            user = options.pop("user", 1)
            answer = await client.request(method, path, headers=bearer(role, user), **options)
            assert answer.status_code < 300, answer.text
            return answer.json()

        await send("POST", "/api/students/import?dry_run=false", files={"file": ("a.csv", CSV, "text/csv")})
        await send("POST", "/api/students", json={"name": "E", "email": "e@college.edu", "roll_number": "E-1"})
        await send("PATCH", f"/api/students/{ids[0]}", json={"branch": "CIVIL"})
        drives = []
        for _ in range(3):
            drive = await send("POST", "/api/drives", json={**DRIVE, **EVERYONE, "auto_calc": True})
            drives.append(drive["drive_id"])
        for number, drive_id in enumerate(drives):
            for student in ids[number : number + 10]:
                await send("POST", f"/api/registrations/{drive_id}/register", Role.STUDENT, user=student)
        first, _, third = drives
        await send("POST", f"/api/drives/{first}/stop-registrations", Role.COORDINATOR)
        for student, status in zip(ids[:3], ("PRESENT", "ABSENT", "PRESENT"), strict=True):
            mark = {"student_id": student, "status": status}
            await send("POST", f"/api/attendance/{first}/mark", Role.COORDINATOR, json=mark)
        await send("DELETE", f"/api/drives/{third}")
    await eventually(lambda: owner.fetchval(ENDED), within_s=60)
    await eventually(lambda: owner.fetchval(SENT), within_s=60)


async def wipe(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([topic.name for topic in WIPED])
    finally:
        await admin.close()


async def output_of(env: dict[str, str], *command: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def counted_by_the_reader(kafka: Kafka) -> Any:
    env = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    return json.loads(await output_of(env, "docs/examples/branch_counts.py"))


@pytest.mark.full_only
async def test_a_new_reader_counts_branches_from_republished_topics(
    kafka_system: System, kafka_alone: Kafka, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await wipe(kafka_alone)
    kafka_system.start_all()
    await kafka_system.until_bus_is_trusted()
    await a_season(kafka_system, owner)
    expected = {row["branch"]: {name: row[name] for name in ("students", "registered", "present")}
                for row in await owner.fetch(BRANCHES)}  # fmt: skip
    before = [tuple(row) for row in await owner.fetch(JOBS)], await owner.fetchrow(LOG)
    # The students of an import are not in Kafka yet.
    assert sum(counts["students"] for counts in (await counted_by_the_reader(kafka_alone)).values()) < STUDENTS

    await wipe(kafka_alone)
    migration = {"MIGRATION_DATABASE_URL": database_url}
    await asyncio.gather(
        *(output_of(migration, "-m", "cli.main", "republish", topic.name, "--from", "0") for topic in WIPED)
    )
    assert await counted_by_the_reader(kafka_alone) == expected
    assert sum(counts["students"] for counts in expected.values()) == STUDENTS + 3

    # When the eligibility service has run a newer job, it has also received the old publications again.
    async with kafka_system.client() as client:
        drive = (await client.post("/api/drives", json={**DRIVE, "auto_calc": True})).json()
    done = "SELECT state = 'succeeded' FROM es.job WHERE id = $1"
    await eventually(lambda: owner.fetchval(done, drive["job"]["id"]), within_s=60)
    after = [tuple(row) for row in await owner.fetch(JOBS) if str(row["id"]) != drive["job"]["id"]]
    assert after == before[0]
    assert all(process.running for process in kafka_system.processes.values())
