"""The state of the installation: what waits, what failed, and whether Kafka wakes the services."""

import asyncpg

from chassis.errors import RuleViolation
from contracts.jobs import Service
from tests.conftest import Api
from tests.integration.test_worker import failing
from tests.support.bulk_students import DRIVE
from tests.support.job_worker import until_dead_lettered, working

OLDER = "UPDATE es.outbox SET queued_at = clock_timestamp() - interval '1 hour'"


async def test_the_state_counts_what_waits_and_what_failed(
    api: Api, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    before = (await api.get("/api/operations")).json()
    assert before["breakers"] == dict.fromkeys((service.value for service in Service), "open")
    assert (before["outbox"]["waiting"], before["outbox"]["oldest_s"], before["jobs"]) == (0, None, [])
    assert (before["dead_letters"], before["slots"]) == (0, [])
    first, second = [(await api.post("/api/drives", json=DRIVE | {"auto_calc": True})).json() for _ in range(2)]
    await owner.execute(OLDER)
    waiting = (await api.get("/api/operations")).json()
    rows = await owner.fetchval("SELECT count(*) FROM es.outbox")
    assert waiting["outbox"]["waiting"] == rows > 0
    assert 3_600 <= waiting["outbox"]["oldest_s"] < 3_700
    (queued,) = waiting["jobs"]
    assert (queued["service"], queued["state"], queued["jobs"]) == ("eligibility", "queued", 2)
    assert queued["oldest_s"] >= 0
    async with working(database_url, work=failing(RuleViolation("the drive is a test"))) as worker:
        for drive in (first, second):
            await until_dead_lettered(worker, drive["job"]["id"])
    after = (await api.get("/api/operations")).json()
    assert (after["jobs"], after["dead_letters"]) == ([], 2)
