"""During an upgrade the processes of two releases work on one database, which the new release has migrated."""

import asyncio
import logging
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

NEW, OLD = ("api", "eligibility"), ("api2", "eligibility2")
log = logging.getLogger(__name__)
DRIVES = 12  # by each release
UNFINISHED = "SELECT count(*) FROM es.job WHERE finished_at IS NULL"
OWNERS = "SELECT DISTINCT split_part(owner, ':', 2)::integer AS port FROM es.job WHERE state = 'succeeded'"
FAILED = "SELECT count(*) FROM es.job WHERE state <> 'succeeded'"


async def test_two_releases_work_on_one_database(
    system: System, owner: "asyncpg.Connection[asyncpg.Record]", tmp_path: Path
) -> None:
    """Commands go to both APIs, and workers of both do the jobs. Kafka is away: each worker finds jobs by itself."""
    of = previous_release.revision()
    if of == "HEAD":
        log.warning("no release has this schema yet: the committed code is taken for the previous release")
    code = await asyncio.to_thread(previous_release.unpack, of, tmp_path)
    await enrol(owner, 200)
    students = [row["student_id"] for row in await owner.fetch(IDS)]
    system.kafka_bootstrap_servers = "127.0.0.1:9"
    system.settings["JOBS_AT_ONCE"] = "1"
    await asyncio.gather(
        asyncio.to_thread(system.start_together, *NEW), asyncio.to_thread(previous_release.start, system, code, *OLD)
    )

    async def use(client: httpx.AsyncClient, mine: list[int]) -> None:
        for student in mine:
            drive = await publish(client)
            path = f"/api/registrations/{drive['drive_id']}/register"
            answer = await client.post(path, headers=bearer(Role.STUDENT, student))
            assert answer.status_code in (201, 403), answer.text
            revised = await client.patch(f"/api/students/{student}", json={"cgpa": "9.50"})
            assert revised.status_code == 200, revised.text

    async with system.client("api") as new, system.client("api2") as old:
        await asyncio.gather(use(new, students[:DRIVES]), use(old, students[DRIVES : 2 * DRIVES]))

    async def all_done() -> bool:
        return not await owner.fetchval(UNFINISHED)

    await eventually(all_done, within_s=30)
    assert await owner.fetchval(FAILED) == 0
    assert {row["port"] for row in await owner.fetch(OWNERS)} == {system.ports[name] for name in (NEW[1], OLD[1])}
    await must_verify(system.database_url)
