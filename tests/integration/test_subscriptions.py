"""Subscriptions: each event once and in order despite kills, the fence, failures, resets, and metrics."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from chassis.errors import Contended, Fenced
from chassis.eventstore import checkpoints, event_store
from chassis.eventstore.event_store import Cause, Cursor, Recorded
from chassis.eventstore.subscriptions import LOCK_KEPT_S, Subscription
from chassis.postgres import notify
from chassis.postgres.database import Connection, Database
from cli.failures import WRONG_USE, Failure
from cli.main import app
from contracts.attendance import AttendanceMarked, Presence
from contracts.message import Event
from contracts.users import PasswordChanged
from devstack.processes import Process
from services.maintenance import gauges
from tests.support.eventually import eventually
from tests.support.sizes import sized
from tests.support.system import ROOT, as_role

Owner = asyncpg.Connection

CAUSE = Cause(source="test", correlation_id=UUID(int=22))
EXAMPLE = ROOT / "docs" / "examples" / "attendance_feed.py"
KILLS = sized(small=5, full=60)
STREAMS, WRITERS = 30, 6
READER = "placewire_attendance_feed"
# The statements of the migration in docs/subscriptions.md.
SET_UP = f"""
CREATE SCHEMA feed;
CREATE TABLE feed.attendance (
    number bigint, position bigint, stream text, version bigint, student_id integer, status text
);
DO $$ BEGIN CREATE ROLE {READER} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT USAGE ON SCHEMA es TO {READER};
GRANT SELECT ON es.event TO {READER};
GRANT SELECT, INSERT, UPDATE ON es.subscription TO {READER};
GRANT USAGE ON SCHEMA feed TO {READER};
GRANT SELECT, INSERT ON feed.attendance TO {READER};
"""
FED = "SELECT number, position, stream, version FROM feed.attendance ORDER BY number, position"
# The recorded events, in the order of the log.
RECORDED = """
SELECT row_number() OVER (ORDER BY tx, position) AS number, position, stream_id AS stream, version
  FROM es.event WHERE type = 'placewire.registration.attendance-marked.v1' ORDER BY tx, position
"""
HOLDS_LOCK = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
   AND (classid::bigint << 32) | objid::bigint = $1
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
HANDLE = "INSERT INTO reader.handled (stream, version) VALUES ($1, $2)"
CHECKPOINT = "SELECT tx::text::bigint AS tx, position, fence, failed_at, error FROM es.subscription WHERE name = $1"


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield a database of the superuser. The tests of the example check the grants of a reader."""
    writer = Database(database_url, pool_size=12, application_name="test-writer")
    yield writer
    await writer.close()


async def append(connection: Connection, stream: str, event: Event | None = None) -> None:
    event = event or PasswordChanged(user_id=1)
    await event_store.append(connection, stream, [event], CAUSE, expected_version=None)


async def record_events(database: Database, *streams: str) -> None:
    """Record one event for each of ``streams``, one transaction after the other."""
    for stream in streams:
        async with database.transaction() as connection:
            await append(connection, stream)


class CollectingHandler:
    """A handler that inserts each event into a table, in the transaction of the checkpoint."""

    def __init__(self, fails: Callable[[Recorded], Exception | None] = lambda _: None) -> None:
        self.fails = fails
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def __call__(self, connection: Connection, events: Sequence[Recorded]) -> None:
        for event in events:
            await connection.execute(
                "INSERT INTO reader.handled (stream, version) VALUES ($1, $2)", event.stream, event.version
            )
            if (error := self.fails(event)) is not None:
                raise error
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()


@asynccontextmanager
async def reading(
    url: str, handler: Callable[[Connection, Sequence[Recorded]], Awaitable[None]], **options: Any
) -> AsyncIterator[Subscription]:
    """Run a replica of the subscription ``test`` in this process."""
    database = Database(url, pool_size=2, application_name="test-reader")
    subscription = Subscription(database, "test", handler, **options)
    task = asyncio.create_task(subscription.run())
    try:
        yield subscription
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await database.close()


@pytest_asyncio.fixture
async def handled(owner: "Owner[asyncpg.Record]") -> Callable[[], Awaitable[list[str]]]:
    """Return a function that returns the streams of the handled events, in the order of handling."""
    await owner.execute("CREATE SCHEMA reader")
    await owner.execute("CREATE TABLE reader.handled (number bigserial, stream text, version bigint)")

    async def streams() -> list[str]:
        return [row["stream"] for row in await owner.fetch("SELECT stream FROM reader.handled ORDER BY number")]

    return streams


async def until_handled(handled: Callable[[], Awaitable[list[str]]], *streams: str, within_s: float = 20) -> None:
    async def as_expected() -> bool:
        return await handled() == list(streams)

    try:
        await eventually(as_expected, within_s=within_s)
    except AssertionError:
        assert await handled() == list(streams)


# --- The example, with killed replicas


class Replicas:
    """Processes of the example. The lock in the database shows which one is active."""

    def __init__(self, url: str, owner: "Owner[asyncpg.Record]", folder: Path) -> None:
        self._env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": as_role(url, READER)}
        self._owner = owner
        self._folder = folder
        self._started = 0
        self.processes: list[Process] = []

    def start(self) -> Process:
        self._started += 1
        process = Process.start(
            f"feed{self._started}", [sys.executable, str(EXAMPLE)],
            log=self._folder / f"feed{self._started}.log", env=self._env, cwd=ROOT,
        )  # fmt: skip
        self.processes.append(process)
        return process

    async def active(self) -> Process:
        """Wait until a session of a process holds the lock. Return the process."""

        async def holder() -> Process | None:
            backend = await self._owner.fetchval(HOLDS_LOCK, checkpoints.lock_of("attendance_feed"))
            if backend is None:
                return None
            port = await self._owner.fetchval("SELECT client_port FROM pg_stat_activity WHERE pid = $1", backend)
            return next((process for process in self.processes if port in ports_of(process)), None)

        active = await eventually(holder, within_s=40)
        assert active is not None
        return active

    async def kill_the_active_one(self) -> None:
        process = await self.active()
        os.kill(process.pid, signal.SIGKILL)
        process.kill()  # waits for the killed process
        self.processes.remove(process)
        self.start()

    def stop(self) -> None:
        for process in self.processes:
            process.resume()
            process.kill()


def ports_of(process: Process) -> set[int]:
    """Return the local ports of the connections of ``process``."""
    import psutil

    with suppress(psutil.Error):
        connections = psutil.Process(process.pid).net_connections("tcp")
        return {connection.laddr.port for connection in connections if connection.laddr}
    return set()


@pytest_asyncio.fixture
async def replicas(database_url: str, owner: "Owner[asyncpg.Record]", tmp_path: Path) -> AsyncIterator[Replicas]:
    await owner.execute(SET_UP)
    started = Replicas(database_url, owner, tmp_path)
    yield started
    started.stop()


async def mark_at_random(database: Database, writing: asyncio.Event, seed: int) -> None:
    """Append marks to a few streams until ``writing`` is cleared. About a third of the transactions commits late."""
    rng = random.Random(seed)
    notifier = notify.Notifier(database.url, application_name="test-notifier")
    task = asyncio.create_task(notifier.run())
    while writing.is_set():
        student = rng.randrange(STREAMS)
        status = rng.choice(list(Presence))
        mark = AttendanceMarked(attendance_id=student, drive_id=7, student_id=student, status=status)
        with suppress(Contended):
            async with database.transaction() as connection:
                await append(connection, f"attendance-7-{student}", mark)
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.random() * 0.2)
            notifier.notify(notify.OUTBOX)
        await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until_everything_is_fed(owner: "Owner[asyncpg.Record]", within_s: float = 60) -> list[tuple[Any, ...]]:
    async def all_fed() -> bool:
        counts = await owner.fetchrow(
            "SELECT (SELECT count(*) FROM feed.attendance), (SELECT count(*) FROM es.event WHERE type LIKE '%marked%')"
        )
        assert counts is not None
        return bool(counts[0] >= counts[1])

    await eventually(all_fed, within_s=within_s)
    return [tuple(row) for row in await owner.fetch(FED)]


@pytest.mark.timeout(300)
async def test_each_event_is_applied_once_and_in_order_while_active_replicas_are_killed(
    database: Database, owner: "Owner[asyncpg.Record]", replicas: Replicas
) -> None:
    writing = asyncio.Event()
    writing.set()
    writers = [asyncio.create_task(mark_at_random(database, writing, seed)) for seed in range(WRITERS)]
    replicas.start()
    replicas.start()
    rng = random.Random(22)
    for _ in range(KILLS):
        await replicas.kill_the_active_one()
        fed_before = await owner.fetchval("SELECT count(*) FROM feed.attendance")

        async def has_advanced(fed_before: int = fed_before) -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM feed.attendance") > fed_before)

        await eventually(has_advanced, within_s=40)
        await asyncio.sleep(rng.random() * 0.1)
    writing.clear()
    await asyncio.gather(*writers)
    fed = await until_everything_is_fed(owner)
    assert fed == [tuple(row) for row in await owner.fetch(RECORDED)]
    assert len(fed) > KILLS * 5
    checkpoint = await owner.fetchrow(CHECKPOINT, "attendance_feed")
    assert checkpoint is not None
    assert checkpoint["fence"] >= KILLS


@pytest.mark.full_only
@pytest.mark.timeout(180)
async def test_a_frozen_replica_cannot_commit_after_another_has_taken_over(
    database: Database, owner: "Owner[asyncpg.Record]", database_url: str, replicas: Replicas
) -> None:
    frozen = replicas.start()
    assert await replicas.active() == frozen
    replicas.start()
    mark = AttendanceMarked(attendance_id=1, drive_id=7, student_id=1, status=Presence.PRESENT)
    async with AsyncExitStack() as stack:
        # The frozen replica is within its transaction: its INSERT waits for this lock.
        holder = await asyncpg.connect(database_url)
        stack.push_async_callback(holder.close)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE feed.attendance IN EXCLUSIVE MODE")
        async with database.transaction() as connection:
            await append(connection, "attendance-7-1", mark)

        async def insert_waits() -> bool:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'feed.attendance'::regclass"
            return bool(await owner.fetchval(query))

        await eventually(insert_waits)
        frozen.suspend()
        await transaction.rollback()

    async def taken_over() -> bool:
        return await replicas.active() != frozen

    assert await eventually(taken_over, within_s=LOCK_KEPT_S * 3)
    assert len(await until_everything_is_fed(owner, within_s=checkpoints.MAX_TRANSACTION_S * 2)) == 1
    frozen.resume()

    # As a marker, wait until the frozen replica reports its interruption. Then the next event is applied once.
    async def has_noticed() -> bool:
        return "subscription.interrupted" in frozen.log_tail()

    await eventually(has_noticed, within_s=30)
    async with database.transaction() as connection:
        await append(connection, "attendance-7-1", mark)
    fed = await until_everything_is_fed(owner)
    assert fed == [tuple(row) for row in await owner.fetch(RECORDED)]
    assert len(fed) == 2


# --- Order and fence


async def test_an_event_that_commits_late_is_not_missed(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]", handled: Callable[[], Awaitable[list[str]]]
) -> None:
    async with reading(database_url, CollectingHandler()):
        await record_events(database, "user-1")
        await until_handled(handled, "user-1")
        async with database.transaction() as late:
            await append(late, "user-2")
            await record_events(database, "user-3")
            moment = await owner.fetchval("SELECT clock_timestamp()")
            seen_by_position = await owner.fetchval("SELECT max(position) FROM es.event")

            async def has_looked() -> bool:
                query = "SELECT min(query_start) > $1 FROM pg_stat_activity WHERE application_name = 'test-reader'"
                return bool(await owner.fetchval(query, moment))

            await eventually(has_looked)
        await record_events(database, "user-4")
        await until_handled(handled, "user-1", "user-2", "user-3", "user-4")
        rest = await owner.fetch("SELECT stream_id FROM es.event WHERE position > $1", seen_by_position)
        assert [row["stream_id"] for row in rest] == ["user-4"]


async def test_an_event_is_handled_shortly_after_its_notification(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]", handled: Callable[[], Awaitable[list[str]]]
) -> None:
    """The reader is idle. Without the notification, it would read the log up to a second later."""
    notifier = notify.Notifier(database_url, application_name="test-notifier")
    async with reading(database_url, CollectingHandler()) as subscription:
        task = asyncio.create_task(notifier.run())
        await record_events(database, "user-0")
        await until_handled(handled, "user-0")
        latencies_s = []
        for number in range(1, 12):
            await asyncio.sleep(0.7)  # so the pause between reads reaches its maximum
            started_s = asyncio.get_running_loop().time()
            await record_events(database, f"user-{number}")
            notifier.notify(notify.OUTBOX)
            while len(await handled()) <= number:
                await asyncio.sleep(0.002)
            latencies_s.append(asyncio.get_running_loop().time() - started_s)
        assert subscription.active
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert sorted(latencies_s)[len(latencies_s) // 2] < 0.2, latencies_s


async def test_a_reader_that_lost_its_lock_commits_no_later_batch(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]", handled: Callable[[], Awaitable[list[str]]]
) -> None:
    """The session that holds the lock ends while its reader handles a batch.

    The other reader waits for the end of this batch, and handles the later events.
    """
    slow, other = CollectingHandler(), CollectingHandler()
    slow.gate = asyncio.Event()
    await record_events(database, "user-1")
    async with reading(database_url, slow) as first:
        await slow.entered.wait()
        async with reading(database_url, other) as second:
            await owner.execute("SELECT pg_terminate_backend(pid) FROM (" + HOLDS_LOCK + ") holder",
                                checkpoints.lock_of("test"))  # fmt: skip

            async def other_waits() -> bool:
                query = """SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-reader'
                           AND wait_event_type = 'Lock' AND query LIKE '%ON CONFLICT (name)%'"""
                return bool(await owner.fetchval(query))

            await eventually(other_waits)
            slow.gate.set()
            await record_events(database, "user-2", "user-3")
            await until_handled(handled, "user-1", "user-2", "user-3")
            assert (first.active, second.active) == (False, True)


async def test_a_stale_fence_or_position_cannot_move_the_checkpoint(
    database: Database, owner: "Owner[asyncpg.Record]"
) -> None:
    async with database.transaction() as connection:
        old = await checkpoints.take_over(connection, "test", from_now=False)
        fence = await checkpoints.take_over(connection, "test", from_now=False)
    for wrong, cursor in ((old, Cursor()), (fence, Cursor(1, 1))):
        with pytest.raises(Fenced):
            async with database.transaction() as connection:
                await checkpoints.move(connection, "test", wrong, old=cursor, new=Cursor(5, 5))
    with pytest.raises(Fenced):
        async with database.transaction() as connection:
            await checkpoints.fail(connection, "test", old, "late")
    with pytest.raises(Fenced):
        async with database.transaction() as connection:
            await checkpoints.read(connection, "test", old)
    row = await owner.fetchrow(CHECKPOINT, "test")
    assert row is not None
    assert (row["tx"], row["position"], row["error"]) == (0, 0, None)


# --- Which events


async def test_only_subscribed_types_are_handled_and_the_checkpoint_passes_the_others(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]", handled: Callable[[], Awaitable[list[str]]]
) -> None:
    mark = AttendanceMarked(attendance_id=1, drive_id=7, student_id=1, status=Presence.ABSENT)
    await record_events(database, "user-1", "user-2")
    async with database.transaction() as connection:
        await append(connection, "attendance-7-1", mark)
    await record_events(database, "user-3")
    async with reading(database_url, CollectingHandler(), types=[AttendanceMarked], batch_size=2):
        await until_handled(handled, "attendance-7-1")

        async def at_the_end() -> bool:
            row = await owner.fetchrow(CHECKPOINT, "test")
            return bool(row and row["position"] == await owner.fetchval("SELECT max(position) FROM es.event"))

        await eventually(at_the_end)


async def test_a_new_subscription_with_from_now_skips_earlier_events(
    database: Database, database_url: str, handled: Callable[[], Awaitable[list[str]]]
) -> None:
    await record_events(database, "user-1", "user-2")
    async with reading(database_url, CollectingHandler(), from_now=True) as first:

        async def active() -> bool:
            return first.active

        await eventually(active)
        await record_events(database, "user-3")
        await until_handled(handled, "user-3")
    # A later start continues at the checkpoint.
    await record_events(database, "user-4")
    async with reading(database_url, CollectingHandler(), from_now=True):
        await until_handled(handled, "user-3", "user-4")


# --- Failures


async def test_a_transient_failure_is_retried_and_its_effects_are_rolled_back(
    database: Database, database_url: str, handled: Callable[[], Awaitable[list[str]]]
) -> None:
    errors = iter([Contended("once"), ConnectionError("twice"), TimeoutError("three times")])
    await record_events(database, "user-1", "user-2")
    async with reading(database_url, CollectingHandler(lambda _: next(errors, None))):
        await until_handled(handled, "user-1", "user-2")


async def test_a_permanent_failure_stops_the_subscription_until_an_operator_retries(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]", handled: Callable[[], Awaitable[list[str]]]
) -> None:
    streams = [f"user-{number}" for number in range(1, 41)]
    broken = [True]
    attempted: list[str] = []

    def fails(event: Recorded) -> Exception | None:
        attempted.append(event.stream)
        return NotImplementedError("no such template\0\udcff") if broken[0] and event.stream == "user-30" else None

    await record_events(database, *streams)
    async with reading(database_url, CollectingHandler(fails)):

        async def failed() -> asyncpg.Record | None:
            return await owner.fetchrow(CHECKPOINT + " AND failed_at IS NOT NULL", "test")

        row = await eventually(failed)
        assert row is not None
        position = await owner.fetchval("SELECT position FROM es.event WHERE stream_id = 'user-30'")
        assert row["error"] == rf"event at position {position}: NotImplementedError: no such template\x00\udcff"
        # Only the events before the failing one were handled.
        assert await handled() == streams[:29]
        assert len(attempted) < 400
        output = await command(database_url, "list")
        assert "nosuch" in "".join(output.split())  # the table wraps its last column
        await set_gauges(database)
        assert REGISTRY.get_sample_value("placewire_subscription_failed", {"subscription": "test"}) == 1
        # A restart keeps the failure, and does not retry the event.
        count = len(attempted)
    async with reading(database_url, CollectingHandler(fails)) as restarted:

        async def active() -> bool:
            return restarted.active

        await eventually(active)
        broken[0] = False
        assert "tries again" in await command(database_url, "retry", "test")
        await until_handled(handled, *streams)
        assert attempted[count] == "user-30"
    row = await owner.fetchrow(CHECKPOINT, "test")
    assert row is not None
    assert (row["failed_at"], row["error"]) == (None, None)


async def test_an_event_of_a_newer_release_is_not_skipped(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]", handled: Callable[[], Awaitable[list[str]]]
) -> None:
    await record_events(database, "user-1", "user-2")
    await owner.execute("ALTER TABLE es.event DISABLE TRIGGER event_is_append_only")
    set_type = "UPDATE es.event SET type = $1 WHERE stream_id = 'user-2'"
    await owner.execute(set_type, "placewire.user.teleported.v1")
    async with reading(database_url, CollectingHandler()):

        async def failed() -> str | None:
            row = await owner.fetchrow(CHECKPOINT, "test")
            return row["error"] if row else None

        assert "UnknownEvent: placewire.user.teleported.v1" in (await eventually(failed) or "")
        assert await handled() == ["user-1"]
        await owner.execute(set_type, PasswordChanged.TYPE)
        await owner.execute("ALTER TABLE es.event ENABLE TRIGGER event_is_append_only")
        await command(database_url, "retry", "test")
        await until_handled(handled, "user-1", "user-2")


# --- Commands and metrics


async def command(url: str, *words: str) -> str:
    """Run `placewire subscriptions ...` with the role of the API. Return its output, or raise its error."""
    env = {"DATABASE_URL": as_role(url, "placewire_api")}
    result = await asyncio.to_thread(CliRunner().invoke, app, ["subscriptions", *words], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


async def set_gauges(database: Database) -> None:
    maintenance = Database(as_role(database.url, "placewire_maintenance"), pool_size=1, application_name="test")
    try:
        async with maintenance.connection() as connection:
            await gauges.set_subscriptions_from(connection)
    finally:
        await maintenance.close()


@pytest.mark.parametrize("to", ["beginning", "now", "position"])
async def test_a_reset_applies_at_once_to_a_running_reader(
    to: str,
    database: Database,
    database_url: str,
    owner: "Owner[asyncpg.Record]",
    handled: Callable[[], Awaitable[list[str]]],
) -> None:
    broken = [to == "now"]

    def fails(_: Recorded) -> Exception | None:
        return ValueError("unwanted") if broken[0] else None

    async with reading(database_url, CollectingHandler(fails)):
        await record_events(database, "user-1", "user-2", "user-3")
        before = ["user-1", "user-2", "user-3"]
        if to == "now":  # the reader fails at the first event, and the reset skips all three

            async def failed() -> bool:
                row = await owner.fetchrow(CHECKPOINT, "test")
                return bool(row and row["failed_at"])

            await eventually(failed)
            broken[0], before = False, []
        else:
            await until_handled(handled, *before)
        second = await owner.fetchval("SELECT position FROM es.event WHERE stream_id = 'user-2'")
        handled_again = {"beginning": before, "now": [], "position": ["user-3"]}[to]
        assert "continues from" in await command(
            database_url, "reset", "test", "--to", str(second) if to == "position" else to
        )
        await until_handled(handled, *before, *handled_again)
        await record_events(database, "user-4")
        await until_handled(handled, *before, *handled_again, "user-4")


async def test_a_reset_waits_for_the_current_batch_and_is_not_overwritten(
    database: Database, database_url: str, handled: Callable[[], Awaitable[list[str]]]
) -> None:
    slow = CollectingHandler()
    slow.gate = asyncio.Event()
    await record_events(database, "user-1")
    async with reading(database_url, slow):
        await slow.entered.wait()
        resetting = asyncio.create_task(command(database_url, "reset", "test", "--to", "beginning"))
        slow.gate.set()
        await resetting
        await until_handled(handled, "user-1", "user-1")


async def test_the_command_reports_wrong_arguments(database_url: str) -> None:
    for words, message in (
        (("reset", "unknown", "--to", "now"), "there is no subscription unknown"),
        (("reset", "unknown", "--to", "17"), "there is no event at position 17"),
        (("retry", "unknown"), "there is no subscription unknown"),
    ):
        with pytest.raises(Exception, match=message):
            await command(database_url, *words)
    for target in ("yesterday", "-1", "1.5", "", "²"):
        with pytest.raises(Failure) as failure:
            await command(database_url, "reset", "unknown", "--to", target)
        assert failure.value.code == WRONG_USE
    assert "no subscription" in await command(database_url, "list")


async def test_lag_is_measured_whether_or_not_a_reader_runs(
    database: Database, database_url: str, owner: "Owner[asyncpg.Record]", handled: Callable[[], Awaitable[list[str]]]
) -> None:
    def sample(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"placewire_subscription_{name}", {"subscription": "test"})

    await record_events(database, "user-1")
    async with reading(database_url, CollectingHandler()):
        await until_handled(handled, "user-1")
        assert " yes " in await command(database_url, "list")
    await set_gauges(database)
    assert (sample("events_behind"), sample("lag_seconds"), sample("failed")) == (0, 0, 0)
    await record_events(database, "user-2", "user-3")
    started_s = asyncio.get_running_loop().time()
    await set_gauges(database)
    assert sample("events_behind") == 2
    assert 0 < (sample("lag_seconds") or 0) < 10 + asyncio.get_running_loop().time() - started_s
    output = await command(database_url, "list")
    assert " no " in output
    assert " 2 " in output
    await owner.execute("DELETE FROM es.subscription")
    await set_gauges(database)
    assert sample("events_behind") is None


async def test_the_measurement_of_lag_reads_only_events_after_the_checkpoint(owner: "Owner[asyncpg.Record]") -> None:
    # For a small table, the planner would prefer these scans.
    await owner.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    plan = "\n".join(row[0] for row in await owner.fetch("EXPLAIN " + checkpoints.MEASURE.replace("$1", "100")))
    assert plan.count('Index Cond: (ROW(tx, "position") > ROW(s.tx, s."position"))') == 2, plan
