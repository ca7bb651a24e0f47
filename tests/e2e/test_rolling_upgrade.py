"""During an upgrade, processes of two releases work on one database, which the new release has migrated."""

import asyncio
import logging
from itertools import islice
from pathlib import Path

import asyncpg
import httpx

from contracts.users import Role
from tests import previous_release
from tests.conftest import must_verify
from tests.support.bulk_students import IDS, enrol
from tests.support.eventually import eventually
from tests.support.publications import publish
from tests.support.system import System, bearer

STUDENTS = 4  # how many students each release serves in each step
UNFINISHED = "SELECT count(*) FROM es.job WHERE finished_at IS NULL"
OWNERS = "SELECT DISTINCT split_part(owner, ':', 2)::integer AS port FROM es.job WHERE state = 'succeeded'"
FAILED = "SELECT count(*) FROM es.job WHERE state <> 'succeeded'"
log = logging.getLogger(__name__)


async def test_two_releases_work_on_one_database(
    system: System, owner: "asyncpg.Connection[asyncpg.Record]", tmp_path: Path
) -> None:
    """Both APIs get commands. Jobs run first on the old worker, then on both workers, then only on the new worker.

    Kafka is down, so each worker finds jobs by polling.
    """
    revision = previous_release.revision()
    if revision == "HEAD":
        log.warning("no release has this schema yet: the committed code is used as the previous release")
    code = await asyncio.to_thread(previous_release.unpack, revision, tmp_path)
    await enrol(owner, 200)
    students = iter([row["student_id"] for row in await owner.fetch(IDS)])
    system.kafka_bootstrap_servers = "127.0.0.1:9"
    await asyncio.gather(
        asyncio.to_thread(system.start_together, "api"),
        asyncio.to_thread(previous_release.start, system, code, "api2", "eligibility2"),
    )

    async def use(client: httpx.AsyncClient) -> None:
        for student in islice(students, STUDENTS):
            drive = await publish(client)
            path = f"/api/registrations/{drive['drive_id']}/register"
            answer = await client.post(path, headers=bearer(Role.STUDENT, student))
            assert answer.status_code in (201, 403), answer.text
            revised = await client.patch(f"/api/students/{student}", json={"cgpa": "9.50"})
            assert revised.status_code == 200, revised.text

    async def all_done() -> bool:
        return not await owner.fetchval(UNFINISHED)

    async with system.client("api") as new, system.client("api2") as old:

        async def workers_after_a_step() -> set[int]:
            await asyncio.gather(use(new), use(old))
            await eventually(all_done, within_s=30)
            return {row["port"] for row in await owner.fetch(OWNERS)}

        old_worker, new_worker = system.ports["eligibility2"], system.ports["eligibility"]
        assert await workers_after_a_step() == {old_worker}
        await asyncio.to_thread(system.start_together, "eligibility")
        await workers_after_a_step()
        await asyncio.to_thread(system.processes["eligibility2"].stop)
        assert await workers_after_a_step() == {old_worker, new_worker}
    assert await owner.fetchval(FAILED) == 0
    await must_verify(system.database_url)
