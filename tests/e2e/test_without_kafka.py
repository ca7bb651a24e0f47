"""Every service starts and works without Kafka, and its consumer joins when Kafka starts."""

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
from tests.support.publications import AUTO, RESULT_EVENTS, on_topic, publish, settled
from tests.support.sizes import FULL, sized
from tests.support.system import CONSUMERS, QUIET_CLOCK, System, as_role
from tests.support.tcp_proxy import TcpProxy

Owner = asyncpg.Connection
# A consumer joins within 10 s when tests run one at a time.
JOINS_WITHIN_S = 10 if FULL else 30
SEEN_SINCE = "SELECT count(*) FROM es.probe WHERE seen_at > clock_timestamp() - make_interval(secs => $1)"
# A worker that only polls completes a job within this time after it was queued (docs/reliability.md).
DONE_WITHIN_S = 1.2
ROUNDS = sized(small=4, full=8)
# At full size, tests run one at a time, so each round must be in time. Otherwise other tests may use the cores.
COUNTED = ROUNDS - 1 if FULL else ROUNDS // 4
SLOWEST = """
SELECT extract(epoch FROM max(finished_at - queued_at))::float FROM es.job WHERE id = ANY ($1::text[]::uuid[])
"""
CAUGHT_UP = "SELECT count(*) = count(finished_at) AND count(*) > 0 FROM es.job WHERE kind = 'refresh'"


async def request_each_kind(system: System, client: httpx.AsyncClient) -> dict[Service, str]:
    """Request a job of each kind at the same time. Return their ids by service."""
    drive, export, refresh_id = await asyncio.gather(
        publish(client),
        client.post("/api/exports", json={"kind": "finished_drives"}),
        request_refresh(system.database_url),
    )
    assert export.status_code in (200, 202), export.text
    return {
        Service.ELIGIBILITY: drive["job"]["id"],
        Service.EXPORTER: export.json()["job"]["id"],
        Service.MAINTENANCE: str(refresh_id),
    }


async def request_refresh(database_url: str) -> UUID:
    """Request a refresh like the clock of the maintenance service: by an event, without an HTTP request."""
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
    """Wait until all jobs have succeeded. Return the channel of each."""
    channels_ = {}
    for service, job_id in jobs.items():
        job = await settled(owner, job_id)
        assert job["state"] == "succeeded", service
        channels_[service] = job["channel"]
    return channels_


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "at_start", [True, pytest.param(False, marks=pytest.mark.full_only)], ids=["absent at start", "killed"]
)
async def test_every_service_works_without_kafka_and_joins_when_kafka_starts(
    live: System, own_kafka: Kafka, live_owner: "Owner[asyncpg.Record]", at_start: bool
) -> None:
    if at_start:
        await asyncio.to_thread(live.stop_all)
    own_kafka.kill()
    if at_start:
        await asyncio.to_thread(live.start_together, *live.processes)
    await live.until_bus_is("open", *CONSUMERS)
    pids = {name: process.pid for name, process in live.processes.items()}
    await until_clock_is_quiet(live_owner)
    async with live.client() as client:
        jobs = await request_each_kind(live, client)
        without = await channels(live_owner, jobs)
        assert set(without.values()) <= {"http", "poll"}
        assert (
            without[Service.MAINTENANCE] == "poll"
        )  # the test requested it like the clock, which wakes no worker of another process
        drive = await publish(client)
        assert (drive["job"]["state"], drive["job"]["delivery"]) == ("succeeded", "http")
        own_kafka.start()
        restarted = monotonic()

        async def all_joined() -> bool:
            return bool(await live_owner.fetchval(SEEN_SINCE, monotonic() - restarted) == len(Service))

        await eventually(all_joined, within_s=JOINS_WITHIN_S)
        await live.until_bus_is("closed", *CONSUMERS)
        await until_kafka_wakes_all(live, client, live_owner)
    for job_id in (drive["job"]["id"], jobs[Service.ELIGIBILITY]):
        sent = await on_topic(own_kafka.bootstrap_servers, job_id)
        assert sent == 1 or (sent and not at_start), "the event did not reach Kafka, or more than once"
        assert await live_owner.fetchval(RESULT_EVENTS, job_id) == 1
    assert {name: process.pid for name, process in live.processes.items() if process.running} == pids


async def until_kafka_wakes_all(system: System, client: httpx.AsyncClient, owner: "Owner[asyncpg.Record]") -> None:
    """Wait until Kafka has woken each service. Repeats, because a poll may be faster than Kafka."""
    woken: set[Service] = set()

    async def all_woken() -> bool:
        by_service = await channels(owner, await request_each_kind(system, client))
        assert "http" not in by_service.values()
        woken.update(service for service, channel in by_service.items() if channel == "kafka")
        return len(woken) == len(Service)

    await eventually(all_woken)


@pytest.fixture
def unreachable_services() -> Iterator[TcpProxy]:
    """Yield a proxy at the address that the API has for the services. It forwards nothing."""
    with TcpProxy(free_port()) as proxy:
        proxy.cut()
        yield proxy


async def test_without_kafka_and_http_polling_runs_each_job_in_time(
    system: System, unreachable_services: TcpProxy, owner: "Owner[asyncpg.Record]"
) -> None:
    """Kafka does not run. The API's requests to the services are reset, and then not answered."""
    await enrol(owner, 100)
    url = f"http://{unreachable_services.address}"
    system.start_together("eligibility", "exporter", "maintenance", **QUIET_CLOCK)
    system.start("api", ELIGIBILITY_URL=url, EXPORTER_URL=url, MAINTENANCE_URL=url)
    await until_clock_is_quiet(owner)
    for break_ in (unreachable_services.cut, unreachable_services.silence):
        break_()
        took_s: list[float] = []
        async with system.client() as client:
            for _ in range(ROUNDS):
                job_ids = await queued_of_each_kind(client)
                for job_id in job_ids:
                    job = await settled(owner, job_id)
                    assert (job["state"], job["channel"]) == ("succeeded", "poll")
                took_s.append(await owner.fetchval(SLOWEST, job_ids))
        assert sorted(took_s)[COUNTED] <= DONE_WITHIN_S, took_s


async def queued_of_each_kind(client: httpx.AsyncClient) -> list[str]:
    """Request a job of each kind at the same time. Each response must be 202 with the delivery ``poll``."""
    answers = await asyncio.gather(
        client.post("/api/drives", json=AUTO),
        client.post("/api/exports", json={"kind": "finished_drives"}),
        client.post("/api/analytics/refresh"),
    )
    for answer in answers:
        assert (answer.status_code, answer.json()["job"]["delivery"]) == (202, "poll"), answer.text
    return [answer.json()["job"]["id"] for answer in answers]
