"""Every service starts and serves without Kafka, and its consumer joins when that comes, and comes back."""

import asyncio
from time import monotonic
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from chassis import event_store
from chassis.database import Database
from chassis.event_store import Cause
from contracts.jobs import Service
from contracts.maintenance import RefreshCause, RefreshRequested
from devstack.kafka import Kafka
from tests.e2e.test_faults import publish, settled
from tests.enrolment import enrol
from tests.eventually import eventually
from tests.system import System, as_role

Owner = asyncpg.Connection
JOINS_WITHIN_S = 10
SEEN_SINCE = "SELECT count(*) FROM es.canary WHERE seen_at > clock_timestamp() - make_interval(secs => $1)"
CANARIES = "SELECT count(*) FROM es.canary"
# Nobody but the test asks for a refresh, once the clock has caught up with its last slot.
QUIET_CLOCK = {"MATERIALIZED_VIEW_REFRESH_INTERVAL": "0 0 1 1 *", "REFRESH_AFTER_CHANGE_S": "0"}
CAUGHT_UP = "SELECT count(*) = count(finished_at) AND count(*) > 0 FROM es.job WHERE kind = 'refresh'"


async def asked_for_all(system: System, client: httpx.AsyncClient) -> dict[Service, str]:
    """A job of each kind, by its service, all at once."""
    drive, export, refresh_id = await asyncio.gather(
        publish(client),
        client.post("/api/exports", json={"kind": "finished_drives"}),
        refresh_asked(system.database_url),
    )
    assert export.status_code in (200, 202), export.text
    return {
        Service.ELIGIBILITY: drive["job"]["id"],
        Service.EXPORTER: export.json()["job"]["id"],
        Service.MAINTENANCE: str(refresh_id),
    }


async def refresh_asked(database_url: str) -> UUID:
    """As the maintenance service's clock asks."""
    database = Database(as_role(database_url, "placewire_maintenance"), pool_size=1, application_name="test-clock")
    try:
        refresh_id = uuid4()
        event = RefreshRequested(refresh_id=refresh_id, cause=RefreshCause.REQUEST)
        cause = Cause(source="test", correlation_id=uuid4())
        async with database.transaction() as connection:
            appended = await event_store.append(connection, f"refresh-{refresh_id}", [event], cause, expected_version=0)
        return appended.ids[0]
    finally:
        await database.close()


async def until_clock_is_quiet(owner: "Owner[asyncpg.Record]") -> None:
    async def caught_up() -> bool:
        return bool(await owner.fetchval(CAUGHT_UP))

    await eventually(caught_up, within_s=30)


async def roads(owner: "Owner[asyncpg.Record]", jobs: dict[Service, str]) -> dict[Service, str]:
    """By which road each came; all have succeeded."""
    found = {}
    for service, job_id in jobs.items():
        job = await settled(owner, job_id)
        assert job["state"] == "succeeded", service
        found[service] = job["channel"]
    return found


async def until_bus_is_everywhere(state: str, client: httpx.AsyncClient, *, within_s: float = 30) -> None:
    async def seen() -> bool:
        bus: dict[str, str] = (await client.get("/readyz")).json()["bus"]
        return set(bus.values()) == {state}

    await eventually(seen, within_s=within_s)


@pytest.mark.timeout(180)
async def test_every_service_serves_without_kafka_and_joins_when_it_comes_and_comes_back(
    isolated: System, own_kafka: Kafka, owner: "Owner[asyncpg.Record]"
) -> None:
    await enrol(owner, 100)
    for name in ("eligibility", "exporter", "maintenance", "relay", "api"):
        isolated.start(name, wait=False, **QUIET_CLOCK)
    for process in isolated.processes.values():
        process.wait_ready()
    pids = {name: process.pid for name, process in isolated.processes.items()}
    await until_clock_is_quiet(owner)
    async with isolated.client() as client:
        without = await roads(owner, await asked_for_all(isolated, client))
        assert without == {Service.ELIGIBILITY: "http", Service.EXPORTER: "http", Service.MAINTENANCE: "sweep"}

        own_kafka.start()

        async def all_seen() -> bool:
            return bool(await owner.fetchval(CANARIES) == len(Service))

        await eventually(all_seen, within_s=JOINS_WITHIN_S)
        await until_bus_is_everywhere("closed", client)
        assert set((await roads(owner, await asked_for_all(isolated, client))).values()) == {"bus"}

        own_kafka.kill()
        await until_bus_is_everywhere("open", client)
        assert "bus" not in (await roads(owner, await asked_for_all(isolated, client))).values()
        own_kafka.start()
        back = monotonic()

        async def all_fresh() -> bool:
            return bool(await owner.fetchval(SEEN_SINCE, monotonic() - back) == len(Service))

        await eventually(all_fresh, within_s=JOINS_WITHIN_S)
        await until_bus_is_everywhere("closed", client)
        assert set((await roads(owner, await asked_for_all(isolated, client))).values()) == {"bus"}
    assert {name: process.pid for name, process in isolated.processes.items() if process.running} == pids
