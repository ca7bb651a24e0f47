"""Refreshes of the views: requests, jobs that share one refresh, the schedule, changed data, and metrics."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from prometheus_client import REGISTRY

from chassis.errors import Contended
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.jobs.job_handler import StagedJobHandler
from chassis.jobs.worker import Worker
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from contracts.jobs import Channel, Kind, Service, State
from contracts.maintenance import RefreshCause, RefreshRequested
from services.api import job_watch
from services.maintenance import gauges, handlers, schedule, sql
from services.maintenance.change_watch import ChangeWatch, pause_s
from services.maintenance.clock import Clock
from services.maintenance.schedule import Cron
from tests.conftest import Api
from tests.support.bulk_students import DRIVE, enrol
from tests.support.eventually import eventually
from tests.support.job_worker import done, wake, working
from tests.support.system import as_role

Owner = asyncpg.Connection
REFRESH = StagedJobHandler(stage=handlers.refresh, failed=handlers.failed)
REFRESHED = "SELECT data ->> 'refresh_id' FROM es.event WHERE type = 'placewire.refresh.refreshed.v1' ORDER BY position"
REQUESTED = "SELECT count(*) FROM es.event WHERE type = 'placewire.refresh.requested.v1'"
JOBS = "SELECT id::text, state, result, queued_at FROM es.job ORDER BY seq"
CAUSE = Cause(source="test", correlation_id=UUID(int=7))
MANY_EVENTS = """
INSERT INTO es.event (tx, xid, stream_id, version, event_id, type, data, metadata)
SELECT es.log_xid(), es.log_xid(), 'registration-1-' || i, 1, gen_random_uuid(), '', '{}', '{}'
  FROM generate_series(1, 20000) i
"""
ONE_EVENT = MANY_EVENTS.replace("20000", "1")
HOURLY = Cron("0 * * * *", ZoneInfo("UTC"))


@pytest.fixture
async def maintainer(database_url: str) -> AsyncIterator[Database]:
    database = Database(
        as_role(database_url, "placewire_maintenance"), pool_size=8, application_name="test-maintenance"
    )
    yield database
    await database.close()


@asynccontextmanager
async def maintaining(database_url: str, *, at_once: int = 2) -> AsyncIterator[Worker]:
    async with working(database_url, work=REFRESH, kind=Kind.REFRESH, at_once=at_once) as worker:
        yield worker


@asynccontextmanager
async def blocked_refreshes(owner: "Owner[asyncpg.Record]") -> AsyncIterator[None]:
    """Block the second view. A refresh takes its snapshot, and then waits until the block ends."""
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(sql.BESIDE_READERS.format(view="drives_over_time"))
    yield
    await transaction.rollback()


async def requested_refresh(api: Api, **options: Any) -> str:
    answer = await api.post("/api/analytics/refresh", **options)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["job"]["id"], body["job"]["state"]) == (body["refresh_id"], "queued")
    assert answer.headers["location"] == f"/api/jobs/{body['refresh_id']}"
    found: str = body["refresh_id"]
    return found


async def waiting_for_a_view(owner: "Owner[asyncpg.Record]") -> bool:
    return bool(
        await owner.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'drives_over_time'::regclass AND NOT granted)"
        )
    )


def ignore_wake(_job_id: UUID, _channel: Channel) -> None:
    """Do nothing, because no worker runs in these tests."""


def clock(database: Database, slots: schedule.Slots = HOURLY) -> Clock:
    return Clock(database, Notifier(database.url, application_name="unused"), slots, ignore_wake)


def watch(database: Database, *, max_pause_s: float = 60) -> ChangeWatch:
    notifier = Notifier(database.url, application_name="unused")
    return ChangeWatch(database, notifier, ignore_wake, max_pause_s=max_pause_s)


async def test_a_requested_refresh_is_done(api: Api, owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    await api.post("/api/drives", json=DRIVE)
    assert (await api.get("/api/analytics/summary")).json()["total_drives"] == 0
    async with maintaining(database_url) as worker:
        [job] = await done(worker, job_id := await requested_refresh(api))
    assert job.result is not None
    assert job.result["rows"]["registrations_per_drive"] == 1
    assert "absorbed_by" not in job.result
    assert [row[0] for row in await owner.fetch(REFRESHED)] == [job_id]
    summary = (await api.get("/api/analytics/summary")).json()
    assert summary["total_drives"] == 1
    assert summary["as_of"][:23] == job.result["began_at"][:23]


async def test_a_repeated_idempotency_key_requests_one_refresh(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    key = {"Idempotency-Key": "refresh-now"}
    first, second = await requested_refresh(api, headers=key), await requested_refresh(api, headers=key)
    assert first == second
    assert await owner.fetchval(REQUESTED) == 1
    assert await requested_refresh(api) != first


async def test_requests_during_a_refresh_are_all_absorbed_by_the_next_refresh(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """This holds for jobs that woke the worker, for jobs that it polls, and for jobs that are already claimed."""
    async with maintaining(database_url) as worker:
        async with blocked_refreshes(owner):
            running = await requested_refresh(api)
            wake(worker, [UUID(running)])
            await eventually(lambda: waiting_for_a_view(owner))
            waiting = [await requested_refresh(api) for _ in range(20)]
            wake(worker, [UUID(id_) for id_ in waiting[:10]])  # the poll finds the others
        await done(worker, running, waiting[0])

        async def all_ended() -> bool:
            return bool(await owner.fetchval("SELECT bool_and(finished_at IS NOT NULL) FROM es.job"))

        await eventually(all_ended)
    rows = await owner.fetch(JOBS)
    assert {row["state"] for row in rows} == {"succeeded"}
    results = {row["id"]: json.loads(row["result"]) for row in rows}
    refreshed = [row[0] for row in await owner.fetch(REFRESHED)]
    assert len(refreshed) == 2
    first, second = refreshed
    assert (first, second in waiting) == (running, True)
    began_at = results[second]["began_at"]
    assert "absorbed_by" not in results[second]
    absorbed = [row for row in rows if row["id"] in set(waiting) - {second}]
    assert [results[row["id"]] for row in absorbed] == [{"absorbed_by": second, "began_at": began_at}] * 19
    assert all(row["queued_at"] < datetime.fromisoformat(began_at) for row in absorbed)


async def test_a_request_that_commits_after_the_snapshot_is_not_absorbed(
    owner: "Owner[asyncpg.Record]", maintainer: Database, database_url: str
) -> None:
    late, early = uuid4(), uuid4()

    async def request_refresh(connection: Any, id_: UUID) -> None:
        event = RefreshRequested(refresh_id=id_, cause=RefreshCause.REQUEST)
        await event_store.append(connection, f"refresh-{id_}", [event], CAUSE, expected_version=0, new_id=lambda _: id_)

    async with maintaining(database_url) as worker:
        async with maintainer.transaction() as unfinished:
            await request_refresh(unfinished, late)
            async with maintainer.transaction() as connection:
                await request_refresh(connection, early)
            [first] = await done(worker, early)
        [second] = await done(worker, late)
    assert first.result is not None
    assert second.result is not None
    assert second.queued_at < first.queued_at < datetime.fromisoformat(first.result["began_at"])
    assert "absorbed_by" not in second.result
    assert second.result["began_at"] > first.result["began_at"]


async def test_a_refresh_is_found_again_after_its_worker_was_killed(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database, database_url: str
) -> None:
    interrupted, other = await requested_refresh(api), await requested_refresh(api)
    run = await sql.answer(maintainer, UUID(interrupted))  # as if the worker was killed after this statement
    assert run.answers == [UUID(other)]
    async with maintaining(database_url) as worker:
        [job] = await done(worker, other)
        assert job.result == {"absorbed_by": interrupted, "began_at": run.began_at.isoformat()}
        [job] = await done(worker, interrupted)
    assert job.result is not None
    assert "absorbed_by" not in job.result
    assert job.result["began_at"] == run.began_at.isoformat()
    assert [row[0] for row in await owner.fetch(REFRESHED)] == [interrupted]


async def test_a_manual_refresh_absorbs_waiting_jobs(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database, database_url: str
) -> None:
    waiting = [await requested_refresh(api) for _ in range(3)]
    moment, _ = await sql.refresh_all(maintainer)
    async with maintaining(database_url) as worker:
        for job in await done(worker, *waiting):
            assert job.result is not None
            assert job.result == {"absorbed_by": None, "began_at": moment.isoformat()}, "no job did this refresh"
    assert await owner.fetch(REFRESHED) == []


async def test_a_manual_refresh_gives_up_while_another_refresh_hangs(
    owner: "Owner[asyncpg.Record]", database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "280s" in sql.LOCK_TIMEOUT
    monkeypatch.setattr(sql, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '200ms'")
    database = Database(database_url, pool_size=1, application_name="test")
    async with owner.transaction():
        await owner.execute(sql.ONE_AT_A_TIME)
        async with asyncio.timeout(20):
            with pytest.raises(Contended):
                await sql.refresh_all(database)
    await database.close()


async def test_a_job_that_another_worker_holds_is_not_absorbed(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database, database_url: str
) -> None:
    held, absorbing = await requested_refresh(api), await requested_refresh(api)
    await owner.execute(
        """
        UPDATE es.job SET state = 'running', started_at = now(),
               attempts = 1, fence = gen_random_uuid(), lease_until = now() + interval '30 s' WHERE id = $1
        """,
        UUID(held),
    )
    async with maintaining(database_url) as worker:
        await done(worker, absorbing)
        assert await owner.fetchval("SELECT state FROM es.job WHERE id = $1", UUID(held)) == "running"
        await owner.execute("UPDATE es.job SET lease_until = '-infinity' WHERE id = $1", UUID(held))
        [job] = await done(worker, held)
    assert job.attempts == 2
    assert job.result is not None
    assert job.result["absorbed_by"] == absorbing


@pytest.mark.usefixtures("no_polls")
@pytest.mark.usefixtures("no_polls")  # a poll could begin the first refresh before all five jobs are queued
async def test_requests_that_wait_for_an_absorbed_job_are_answered_at_once(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_watch, "LOOK_EVERY_S", 60.0)
    # With a second slot, the followed job could start before it is absorbed.
    async with maintaining(database_url, at_once=1) as worker:
        async with asyncio.TaskGroup() as group:
            waiters = [
                group.create_task(api.post("/api/analytics/refresh", headers={"Prefer": "wait=30"})) for _ in range(5)
            ]

            async def all_queued() -> bool:
                return bool(await owner.fetchval("SELECT count(*) = 5 FROM es.job"))

            await eventually(all_queued)
            followed = await owner.fetchval("SELECT id FROM es.job ORDER BY seq OFFSET 1 LIMIT 1")
            follower = group.create_task(api.get(f"/api/jobs/{followed}/events"))

            async def is_followed() -> bool:
                return bool(api.app.state.open_streams._open)

            await eventually(is_followed)
            started_s = asyncio.get_running_loop().time()
            first = await owner.fetchval("SELECT id FROM es.job ORDER BY seq LIMIT 1")
            await done(worker, first)
        assert asyncio.get_running_loop().time() - started_s < 20, (
            "without a notification, requests wait until the timeout"
        )
    answers = [waiter.result() for waiter in waiters]
    assert [answer.status_code for answer in answers] == [200] * 5
    results = {answer.json()["refresh_id"]: answer.json()["job"]["result"] for answer in answers}
    assert all(answer.json()["job"]["state"] == "succeeded" for answer in answers)
    assert {result.get("absorbed_by") for id_, result in results.items() if id_ != str(first)} == {str(first)}
    assert follower.result().text.count("event: job") == 2
    assert f'"absorbed_by":"{first}"' in follower.result().text


@pytest.mark.damages
async def test_replicas_record_each_slot_once(owner: "Owner[asyncpg.Record]", maintainer: Database) -> None:
    before = await maintenance_now(maintainer)
    pauses = await asyncio.gather(*(clock(maintainer).once() for _ in range(6)))
    slot = HOURLY.newest(before)
    assert all(pause == pytest.approx(min(30, pause)) for pause in pauses)
    [job] = await owner.fetch("SELECT * FROM es.job")
    assert (job["id"], job["service"], job["kind"]) == (
        schedule.refresh_id(RefreshCause.SCHEDULE, slot), Service.MAINTENANCE, Kind.REFRESH
    )  # fmt: skip
    [event] = await owner.fetch("SELECT * FROM es.event")
    assert (event["event_id"], event["stream_id"]) == (job["id"], f"refresh-{job['id']}")
    assert datetime.fromisoformat(json.loads(event["data"])["slot"]) == slot
    assert await owner.fetchval("SELECT count(*) FROM es.outbox WHERE event_id IS NOT NULL") == 1

    await owner.execute("DELETE FROM es.job")
    await clock(maintainer).once()
    assert await owner.fetchval(REQUESTED) == 1
    assert await owner.fetchval("SELECT count(*) FROM es.job") == 0, "the slot is done, although its job is deleted"


async def maintenance_now(database: Database) -> datetime:
    async with database.connection() as connection:
        return await sql.now(connection)


async def test_only_the_newest_of_many_missed_slots_is_recorded(
    owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    """This holds even if the service is restarted several times."""
    seconds = Cron("* * * * * *", ZoneInfo("UTC"))
    await clock(maintainer, seconds).once()
    await asyncio.sleep(3.2)
    for _ in range(2):
        await clock(maintainer, Cron("0 0 1 1 *", ZoneInfo("UTC"))).once()
    await clock(maintainer, seconds).once()
    assert await owner.fetchval(REQUESTED) == 3, "two starts of the first clock, one of the yearly clock"


async def changed(database: Database) -> bool:
    async with database.connection() as connection:
        last = await sql.last_refresh(connection)
        return (await sql.changed_since(connection, last.snapshot))[0]


async def test_only_events_that_the_views_show_count_as_a_change(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database, database_url: str
) -> None:
    assert not await changed(maintainer), "the log is empty"
    async with maintaining(database_url) as worker:
        await done(worker, await requested_refresh(api))
        assert not await changed(maintainer), "a refresh is no change"
        await enrol(owner, 5)
        drive = (await api.post("/api/drives", json=DRIVE)).json()
        assert await changed(maintainer)
        await done(worker, await requested_refresh(api))
        assert not await changed(maintainer)
        await api.patch(f"/api/drives/{drive['drive_id']}", json={"job_title": "Other"})
        assert await changed(maintainer)
        await sql.refresh_all(maintainer)
        assert not await changed(maintainer)


@pytest.mark.damages
async def test_a_change_that_commits_after_the_snapshot_of_a_refresh_still_counts(
    owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    async with owner.transaction():
        await owner.execute(ONE_EVENT)
        await sql.refresh_all(maintainer)
        assert not await changed(maintainer)
    assert await changed(maintainer)
    await sql.refresh_all(maintainer)
    assert not await changed(maintainer)


def test_the_pause_grows_with_the_duration_of_a_refresh_within_limits() -> None:
    assert pause_s(0.001, 60) == 1
    assert pause_s(0.1, 60) == pytest.approx(5)
    assert pause_s(2.5, 60) == 60
    assert pause_s(2.5, 0.5) == 0.5, "the setting is the upper limit"


LONG_AGO = "UPDATE view_refresh SET finished_at = finished_at - interval '1 h', duration_s = 0.001"


async def test_replicas_request_one_refresh_per_change(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    replicas = [watch(maintainer) for _ in range(3)]

    async def look() -> int:
        await asyncio.gather(*(replica.look() for replica in replicas))
        return int(await owner.fetchval(REQUESTED))

    await owner.execute(LONG_AGO)
    assert await look() == 0, "nothing has changed"
    await api.post("/api/drives", json=DRIVE)
    assert await look() == 1
    assert await owner.fetchval("SELECT data ->> 'cause' FROM es.event WHERE type LIKE '%refresh%'") == "change"
    await api.post("/api/drives", json=DRIVE)
    assert await look() == 1, "a refresh is already requested"
    await owner.execute("UPDATE es.job SET state = 'running'")
    assert await look() == 1, "a refresh is running"
    await owner.execute("UPDATE es.job SET state = 'succeeded', finished_at = now()")
    await sql.refresh_all(maintainer)
    assert await look() == 1, "nothing has changed since the refresh"
    await api.post("/api/drives", json=DRIVE)
    await owner.execute("UPDATE view_refresh SET duration_s = 0.1")
    assert await look() == 1, "the pause is not over"
    await owner.execute(LONG_AGO)
    assert await look() == 2


async def test_a_refresh_recorded_in_the_future_causes_no_pause(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    await sql.refresh_all(maintainer)
    await owner.execute(
        "UPDATE view_refresh SET finished_at = now() + interval '1 h', refreshed_at = now() + interval '1 h'"
    )
    await api.post("/api/drives", json=DRIVE)
    assert await watch(maintainer).look() is not None


async def test_events_without_an_effect_on_the_views_are_looked_at_once(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    """Events that the views do not show are looked at only once."""
    await owner.execute(LONG_AGO)
    change_watch = watch(maintainer)
    await api.post("/api/analytics/refresh")
    await owner.execute("UPDATE es.job SET state = 'cancelled', finished_at = now()")
    assert await change_watch.look() is None
    unchanged = change_watch._unchanged
    assert unchanged is not None
    await owner.execute("SELECT pg_current_xact_id()")
    assert await change_watch.look() is None
    assert change_watch._unchanged is not None
    assert change_watch._unchanged[1] != unchanged[1]
    await api.post("/api/drives", json=DRIVE)
    assert await change_watch.look() is not None


async def test_a_clock_that_was_an_hour_ahead_delays_no_slot(
    owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    seconds = Cron("* * * * * *", ZoneInfo("UTC"))
    replica_clock = clock(maintainer, seconds)
    now = await maintenance_now(maintainer)
    # The state after the clock was ahead: the slots of the next hour are recorded.
    replica_clock._done = seconds.newest(now) + timedelta(hours=1)

    async def recorded() -> bool:
        await replica_clock.once()
        return bool(await owner.fetchval(REQUESTED))

    await eventually(recorded, within_s=10)


@pytest.mark.damages
async def test_the_check_for_changes_uses_an_index(owner: "Owner[asyncpg.Record]", maintainer: Database) -> None:
    await owner.execute(MANY_EVENTS)
    await owner.execute("ANALYZE es.event")
    await sql.refresh_all(maintainer)
    async with maintainer.connection() as connection:
        last = await sql.last_refresh(connection)
        explain = "EXPLAIN (ANALYZE, BUFFERS OFF) " + sql.HAS_CHANGED
        plan = "\n".join(row[0] for row in await connection.fetch(explain, last.snapshot, sql.SHOWN))
    assert "event_tx_position" in plan, plan
    assert "Seq Scan on event" not in plan, plan
    assert "Rows Removed by Filter: 20000" not in plan, plan


async def test_gauges_report_old_views_and_waiting_jobs(
    api: Api, owner: "Owner[asyncpg.Record]", maintainer: Database
) -> None:
    await sql.refresh_all(maintainer)
    ids = [await requested_refresh(api) for _ in range(3)]
    await owner.execute("UPDATE es.job SET queued_at = now() - interval '100 s' WHERE id = $1", UUID(ids[1]))
    await owner.execute(
        "UPDATE view_refresh SET refreshed_at = now() - interval '1 hour' WHERE view_name = 'drive_funnel'"
    )
    async with maintainer.connection() as connection:
        await gauges.set_from(connection)
    queued = {"service": "maintenance", "state": State.QUEUED}
    assert REGISTRY.get_sample_value("placewire_jobs", queued) == 3
    assert REGISTRY.get_sample_value("placewire_jobs_oldest_seconds", queued) == pytest.approx(100, abs=20)
    assert REGISTRY.get_sample_value("placewire_jobs", {"service": "exporter", "state": "running"}) == 0
    view = {"view": "drive_funnel"}
    assert REGISTRY.get_sample_value("placewire_view_staleness_seconds", view) == pytest.approx(3600, abs=20)
    assert REGISTRY.get_sample_value("placewire_view_rows", view) == 0
    await owner.execute("UPDATE es.job SET finished_at = now(), state = 'succeeded'")
    async with maintainer.connection() as connection:
        await gauges.set_from(connection)
    assert REGISTRY.get_sample_value("placewire_jobs", queued) == 0
    assert REGISTRY.get_sample_value("placewire_jobs_oldest_seconds", queued) == 0
