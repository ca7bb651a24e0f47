"""Every service starts and serves without Kafka, and its consumer joins when that starts, and when it comes back."""

import asyncio
from collections.abc import Iterator
from time import monotonic
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Database
from contracts.jobs import Service
from contracts.maintenance import RefreshCause, RefreshRequested
from devstack.kafka import Kafka
from devstack.ports import free_port
from tests.support.bulk_students import enrol
from tests.support.eventually import eventually
from tests.support.publications import AUTO, publish, settled
from tests.support.sizes import FULL
from tests.support.system import System, as_role
from tests.support.tcp_proxy import TcpProxy

Owner = asyncpg.Connection
# A consumer joins this soon where tests run one at a time.
JOINS_WITHIN_S = 10 if FULL else 30
SEEN_SINCE = "SELECT count(*) FROM es.probe WHERE seen_at > clock_timestamp() - make_interval(secs => $1)"
CONSUMERS = "SELECT count(*) FROM es.probe"
# Within this time after it was queued a job is done by a worker that only polls (docs/reliability.md).
DONE_WITHIN_S = 1.2
ROUNDS = 8
# At full size tests run one at a time, and each round must be in time. Else other tests may take the cores meanwhile.
COUNTED = ROUNDS - 1 if FULL else ROUNDS // 4
SLOWEST = """
SELECT extract(epoch FROM max(finished_at - queued_at))::float FROM es.job WHERE id = ANY ($1::text[]::uuid[])
"""
# Nobody but the test asks for a refresh, once the clock has caught up with its last slot.
QUIET_CLOCK = {"MATERIALIZED_VIEW_REFRESH_INTERVAL": "0 0 1 1 *", "REFRESH_AFTER_CHANGE_S": "0"}
CAUGHT_UP = "SELECT count(*) = count(finished_at) AND count(*) > 0 FROM es.job WHERE kind = 'refresh'"


async def asked_for_all(system: System, client: httpx.AsyncClient) -> dict[Service, str]:
    """Ask for a job of each kind, all at once. Return their ids by service."""
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


async def channels(owner: "Owner[asyncpg.Record]", jobs: dict[Service, str]) -> dict[Service, str]:
    """Return what woke the worker for each job, once all have succeeded."""
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
    isolated.start_together("eligibility", "exporter", "maintenance", "relay", "api", **QUIET_CLOCK)
    pids = {name: process.pid for name, process in isolated.processes.items()}
    await until_clock_is_quiet(owner)
    async with isolated.client() as client:
        without = await channels(owner, await asked_for_all(isolated, client))
        assert set(without.values()) <= {"http", "poll"}
        assert without[Service.MAINTENANCE] == "poll"  # the test asks in the name of the clock, and calls nobody

        own_kafka.start()

        async def all_seen() -> bool:
            return bool(await owner.fetchval(CONSUMERS) == len(Service))

        await eventually(all_seen, within_s=JOINS_WITHIN_S)
        await until_bus_is_everywhere("closed", client)
        await until_kafka_wakes_all(isolated, client, owner)

        own_kafka.kill()
        await until_bus_is_everywhere("open", client)
        assert "kafka" not in (await channels(owner, await asked_for_all(isolated, client))).values()
        own_kafka.start()
        back = monotonic()

        async def all_fresh() -> bool:
            return bool(await owner.fetchval(SEEN_SINCE, monotonic() - back) == len(Service))

        await eventually(all_fresh, within_s=JOINS_WITHIN_S)
        await until_bus_is_everywhere("closed", client)
        await until_kafka_wakes_all(isolated, client, owner)
    assert {name: process.pid for name, process in isolated.processes.items() if process.running} == pids


async def until_kafka_wakes_all(system: System, client: httpx.AsyncClient, owner: "Owner[asyncpg.Record]") -> None:
    """Wait until Kafka has woken each service. A poll may find a job first by chance, but not again and again."""
    woken: set[Service] = set()

    async def all_woken() -> bool:
        found = await channels(owner, await asked_for_all(system, client))
        assert "http" not in found.values()
        woken.update(service for service, channel in found.items() if channel == "kafka")
        return len(woken) == len(Service)

    await eventually(all_woken)


@pytest.fixture
def unreachable_services() -> Iterator[TcpProxy]:
    """The address at which the API looks for the services. Nothing passes."""
    with TcpProxy(free_port()) as proxy:
        proxy.cut()
        yield proxy


@pytest.mark.parametrize("is_silent", [False, True], ids=["cut", "silent"])
async def test_without_kafka_and_http_the_poll_does_each_job_in_time(
    isolated: System, unreachable_services: TcpProxy, owner: "Owner[asyncpg.Record]", is_silent: bool
) -> None:
    """Kafka is never started, and the API's requests to the services are reset, or never answered."""
    await enrol(owner, 100)
    if is_silent:
        unreachable_services.silence()
    url = f"http://{unreachable_services.address}"
    isolated.start_together("eligibility", "exporter", "maintenance", **QUIET_CLOCK)
    isolated.start("api", ELIGIBILITY_URL=url, EXPORTER_URL=url, MAINTENANCE_URL=url)
    await until_clock_is_quiet(owner)
    took_s: list[float] = []
    async with isolated.client() as client:
        for _ in range(ROUNDS):
            job_ids = await queued_of_each_kind(client)
            for job_id in job_ids:
                job = await settled(owner, job_id)
                assert (job["state"], job["channel"]) == ("succeeded", "poll")
            took_s.append(await owner.fetchval(SLOWEST, job_ids))
    assert sorted(took_s)[COUNTED] <= DONE_WITHIN_S, took_s


async def queued_of_each_kind(client: httpx.AsyncClient) -> list[str]:
    """Ask for a job of each kind, all at once. Each answer is 202, and says that the job is left to the poll."""
    answers = await asyncio.gather(
        client.post("/api/drives", json=AUTO),
        client.post("/api/exports", json={"kind": "finished_drives"}),
        client.post("/api/analytics/refresh"),
    )
    for answer in answers:
        assert (answer.status_code, answer.json()["job"]["delivery"]) == (202, "poll"), answer.text
    return [answer.json()["job"]["id"] for answer in answers]
