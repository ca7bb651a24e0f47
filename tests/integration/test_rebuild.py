"""``placewire rebuild`` repairs damaged tables completely or not at all, with only a short pause of appends.

No test here is marked ``damages``, so verify must find no difference after each test.
"""

import asyncio
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Database
from cli.failures import NO
from cli.replay.rebuilding import Proposal, Rebuilt
from cli.replay.rebuilding import rebuild as rebuild_at
from cli.replay.verification import ProgressCallbacks
from contracts.users import PasswordChanged, Role, RoleChanged
from tests.conftest import Api
from tests.integration.test_reevaluation import drive, enrolled, queued, revised
from tests.support.accounts import add_user
from tests.support.bulk_students import ENROL
from tests.support.drive_scenarios import finished, posted, register
from tests.support.eventually import eventually
from tests.support.job_worker import done, done_in_order, working
from tests.support.sizes import FULL, sized
from tests.support.system import ROOT, as_role

pytestmark = pytest.mark.usefixtures("no_polls")

Owner = asyncpg.Connection
EVENTS = sized(small=6_000, full=1_000_000)
UNWATCHED = ProgressCallbacks(began=lambda _: None, projected=lambda _: None)
CAUSE = Cause(source="test", correlation_id=uuid4())

# The digest of a table. TABLES lists all tables that rebuild may change, and some that it must not change.
CONTENT = """
SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {table} t
"""
TABLES = (
    "users", "students", "drives", "evaluations", "notifications", "registrations", "attendance", "finished_drives",
    "exports", "selections", "requested_selection", "credentials", "job_domains", "idempotency_keys", "es.job",
)  # fmt: skip
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON users FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""
NOT_SLOW = "DROP TRIGGER slow ON users; DROP FUNCTION slow"


async def content(owner: "Owner[asyncpg.Record]") -> dict[str, str]:
    return {table: await owner.fetchval(CONTENT.format(table=table)) for table in TABLES}


def yes(_: Proposal) -> bool:
    return True


async def rebuild(
    database_url: str, agree: Callable[[Proposal], bool] = yes, *, longest_pause_s: float = 10
) -> Rebuilt:
    return await rebuild_at(database_url, UNWATCHED, agree, limit=20, longest_pause_s=longest_pause_s)


def command(database_url: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MIGRATION_DATABASE_URL": database_url, "DATABASE_URL": database_url}
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "rebuild", *arguments],
        cwd=ROOT, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


async def run_command(database_url: str, *arguments: str) -> tuple[int, str]:
    process = command(database_url, *arguments)
    output, _ = await asyncio.to_thread(process.communicate, timeout=100)
    return process.returncode, output


@asynccontextmanager
async def appending(database_url: str) -> AsyncIterator[list[float]]:
    """Append events without pauses until the block ends. Yield the duration of each append in seconds."""
    database = Database(as_role(database_url, "placewire_api"), pool_size=4, application_name="test-writer")
    durations_s: list[float] = []
    keep_writing = True

    async def write(first_id: int) -> None:
        for id_ in range(first_id, first_id + 100_000):
            started_s = monotonic()
            async with database.transaction() as connection:
                await add_user(connection, id_, Role.STAFF)
            durations_s.append(monotonic() - started_s)
            events = [RoleChanged(user_id=id_, role=Role.HEAD), PasswordChanged(user_id=id_)]
            started_s = monotonic()
            async with database.transaction() as connection:
                await event_store.append(connection, f"user-{id_}", events, CAUSE, expected_version=1)
            durations_s.append(monotonic() - started_s)
            if not keep_writing:
                return

    writers = [asyncio.create_task(write(first)) for first in (2_000_000, 3_000_000, 4_000_000)]
    try:
        yield durations_s
    finally:
        keep_writing = False
        await asyncio.gather(*writers)
        await database.close()


@asynccontextmanager
async def appending_at_a_pace(database_url: str, *, per_second: int) -> AsyncIterator[list[float]]:
    """Start appends at a fixed rate until the block ends. Yield the time of each from its due moment, in seconds."""
    database = Database(as_role(database_url, "placewire_api"), pool_size=8, application_name="test-writer")
    durations_s: list[float] = []
    keep_writing = True

    async def append(id_: int, due: float) -> None:
        event = RoleChanged(user_id=id_, role=Role.HEAD)
        async with database.transaction() as connection:
            await add_user(connection, id_, Role.STAFF, event)
        durations_s.append(monotonic() - due)

    async def offer() -> None:
        started_s = monotonic()
        async with asyncio.TaskGroup() as appends:
            for number in itertools.takewhile(lambda _: keep_writing, itertools.count()):
                due = started_s + number / per_second
                await asyncio.sleep(due - monotonic())
                appends.create_task(append(2_000_000 + number, due))

    offering = asyncio.create_task(offer())
    try:
        yield durations_s
    finally:
        keep_writing = False
        await offering
        await database.close()


def in_between(work: Coroutine[Any, Any, object]) -> None:
    """Run ``work`` to its end, from a function that is not async."""
    thread = threading.Thread(target=asyncio.run, args=(work,))
    thread.start()
    thread.join()


async def test_missing_changed_and_extra_rows_of_every_table_are_repaired(
    sound: str, api: Api, owner: "Owner[asyncpg.Record]"
) -> None:
    await finished(api, present=[10, 11], absent=[12])
    await register(api, await posted(api), 10, 13)
    assert (await api.post("/api/exports", json={"kind": "finished_drives", "format": "csv"})).status_code in (200, 202)
    original = await content(owner)
    for damage in (
        "DELETE FROM students WHERE student_id BETWEEN 100 AND 119",
        "UPDATE students SET cgpa = 1.25, branch = NULL WHERE student_id BETWEEN 120 AND 129",
        "INSERT INTO students (student_id, roll_number, active_backlogs) VALUES (9001, 'NEW', 0)",
        "UPDATE users SET email = 'x' || email WHERE user_id BETWEEN 20 AND 29",
        "UPDATE drives SET status = 'finished', branches = ARRAY['CSE'] WHERE drive_id = 1",
        "TRUNCATE evaluations, registrations",
        "UPDATE attendance SET status = 'PRESENT'",
        "DELETE FROM finished_drives",
        "UPDATE exports SET state = 'completed'",
        "UPDATE notifications SET audience = 'STUDENT' WHERE audience = 'STAFF'",
    ):
        await owner.execute(damage)
    rebuilt = await rebuild(sound)
    assert rebuilt.proposal.findings.different_rows > 50
    assert rebuilt.left == 0
    assert await content(owner) == original


async def test_swapped_unique_values_are_repaired(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    original = await content(owner)
    await owner.execute("UPDATE students SET roll_number = 'tmp' WHERE student_id = 100")
    await owner.execute("UPDATE students SET roll_number = 'R100' WHERE student_id = 101")
    await owner.execute("UPDATE students SET roll_number = 'R101' WHERE student_id = 100")
    assert (await rebuild(sound)).left == 0
    assert await content(owner) == original


LEDGER_DAMAGE = (
    "DELETE FROM selections WHERE drive_id = 1 AND student_id % 2 = 0",
    "UPDATE selections SET student_id = 9000 + student_id WHERE drive_id = 1 AND student_id % 7 = 0",
    "UPDATE selections SET revoked_version = NULL, revoked_at = NULL WHERE drive_id = 1 AND student_id % 2 = 0",
    "INSERT INTO selections VALUES (1, 9001, 4, now()), (2, 4, 1, now())",
    "DELETE FROM selections WHERE drive_id = 1 AND selected_version = 5",
    "UPDATE selections SET revoked_version = NULL, revoked_at = NULL WHERE drive_id = 1 AND revoked_version IN (4, 7)",
    "DELETE FROM requested_selection WHERE student_id = 5",
    "DELETE FROM requested_selection WHERE drive_version = 3",
    "INSERT INTO requested_selection VALUES (1, 3, 77), (1, 2, 4)",
)


LEDGER = "SELECT * FROM selections ORDER BY drive_id, student_id, selected_version"
# Versions that reevaluated one student. If their row is lost, its time cannot be recomputed.
OF_ONE_STUDENT = {4, 5, 7}


def without_lost_times(row: asyncpg.Record) -> tuple[Any, ...]:
    selected, revoked = row["selected_version"], row["revoked_version"]
    return (
        row["drive_id"], row["student_id"], selected, None if selected in OF_ONE_STUDENT else row["selected_at"],
        revoked, None if revoked in OF_ONE_STUDENT else row["revoked_at"],
    )  # fmt: skip


async def test_ledgers_are_recomputed_and_agree_with_their_checksums(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    """The drive of the fixture was published with and without a list. Students were reevaluated after each."""

    async def ledgers_and_tables() -> tuple[object, ...]:
        rows = await owner.fetch(LEDGER)
        return {**await content(owner), "selections": ""}, [without_lost_times(row) for row in rows]

    before, times = await ledgers_and_tables(), [row["selected_at"] for row in await owner.fetch(LEDGER)]
    for damage in LEDGER_DAMAGE:
        await owner.execute(damage)
        assert await ledgers_and_tables() != before, damage
        rebuilt = await rebuild(sound)
        assert (rebuilt.left, rebuilt.proposal.impossible) == (0, ()), damage
        assert await ledgers_and_tables() == before, damage
    now = [row["selected_at"] for row in await owner.fetch(LEDGER)]
    assert all(abs(then - later) < timedelta(seconds=1) for then, later in zip(times, now, strict=True))


async def test_evaluations_are_recomputed_in_the_order_in_which_they_ran(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """The marks of a listed student fall. The reevaluation runs before the evaluation of the list. Then marks rise."""
    unchanged, listed, other = [await enrolled(api, number, cgpa="9.00") for number in range(3)]
    drive_id = (await drive(api, min_cgpa="7"))["drive_id"]
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
    body = {"selected_students": [unchanged, listed]}
    late_job = (await api.post(f"/api/drives/{drive_id}/publish", json=body)).json()["job"]["id"]
    await revised(api, listed, cgpa="5.00")
    await done_in_order(owner, database_url, *[id_ for id_ in await queued(owner) if id_ != late_job], late_job)
    await revised(api, listed, cgpa="8.00")
    await done_in_order(owner, database_url, *await queued(owner))
    ledgers = [
        "SELECT student_id, selected_version, revoked_version FROM selections ORDER BY 1, 2",
        "SELECT drive_version, student_id FROM requested_selection ORDER BY 1, 2",
    ]
    before = [await owner.fetch(ledger) for ledger in ledgers]
    assert before == [
        [(unchanged, 2, None), (listed, 2, 4), (listed, 5, None), (other, 2, 3)],
        [(3, unchanged), (3, listed)],
    ]
    await owner.execute("DELETE FROM requested_selection")
    await owner.execute("DELETE FROM selections WHERE student_id = $1", other)
    rebuilt = await rebuild(database_url)
    assert (rebuilt.left, rebuilt.proposal.impossible) == (0, ())
    assert [await owner.fetch(ledger) for ledger in ledgers] == before


async def test_other_drives_are_repaired_despite_an_unreadable_event(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    damage = "DELETE FROM selections WHERE drive_id IN (1, 3) AND student_id % 2 = 0"
    publication = "WHERE stream_id = 'drive-1' AND version = 2"
    change = f"UPDATE es.event SET data = jsonb_set(data, '{{criteria}}', $1::jsonb) {publication}"
    criteria = await owner.fetchval(f"SELECT data -> 'criteria' FROM es.event {publication}")
    await owner.execute("SET session_replication_role = replica")  # without this, the log cannot be changed
    await owner.execute(change, '"nonsense"')
    await owner.execute(damage)
    rebuilt = await rebuild(sound)
    [reason] = rebuilt.proposal.impossible
    assert reason.startswith("the selections of drive 1: ")
    assert rebuilt.repair is not None
    faults = [fault for check in rebuilt.repair.after.checks for fault in check.faults]
    assert faults
    assert all(fault.startswith("drive 1") for fault in faults)
    await owner.execute(change, criteria)
    assert (await rebuild(sound)).left == 0


async def test_a_ledger_that_cannot_be_recomputed_is_reported_and_not_changed(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    """A row is missing both in the requested list and in the selections. No event names the students of the list."""
    original = await owner.fetch("SELECT * FROM selections WHERE drive_id = 1 AND student_id = 4")
    await owner.execute("DELETE FROM selections WHERE drive_id = 1 AND student_id = 4")
    await owner.execute("DELETE FROM requested_selection WHERE drive_id = 1 AND student_id = 4")
    await owner.execute("DELETE FROM students WHERE student_id = 100")
    rebuilt = await rebuild(sound)
    assert [reason.partition(":")[0] for reason in rebuilt.proposal.impossible] == [
        "the list of drive 1 at version 3", "the selections of drive 1",
    ]  # fmt: skip
    assert rebuilt.left == 5, "selected at 2 and 5, revoked at 4, selections in force, and the list"
    assert await owner.fetchval("SELECT count(*) FROM students WHERE student_id = 100") == 1
    assert await owner.fetchval("SELECT count(*) FROM selections WHERE drive_id = 1 AND student_id = 4") == 0
    await owner.executemany("INSERT INTO selections VALUES ($1, $2, $3, $4, $5, $6)", [tuple(row) for row in original])
    assert (await rebuild(sound)).left == 0


async def test_appends_continue_and_events_on_damaged_rows_are_applied(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute("UPDATE users SET name = 'x' WHERE user_id BETWEEN 100 AND 200")
    await owner.execute("DELETE FROM users WHERE user_id = 3")

    async def change_a_damaged_row() -> None:
        # This runs after the comparison, so only the later events show that the row is damaged.
        other = await asyncpg.connect(sound)
        version = await other.fetchval("SELECT version FROM es.stream WHERE stream_id = 'user-3'")
        await other.close()
        events = [RoleChanged(user_id=3, role=Role.STAFF), PasswordChanged(user_id=3)]
        own = Database(as_role(sound, "placewire_api"), pool_size=1, application_name="test")
        async with own.transaction() as connection:
            await event_store.append(connection, "user-3", events, CAUSE, expected_version=version)
        await own.close()

    def agree(_: Proposal) -> bool:
        in_between(change_a_damaged_row())
        return True

    before = await owner.fetchval("SELECT count(*) FROM es.event")
    async with appending(sound) as durations_s:
        rebuilt = await rebuild(sound, agree)
        await asyncio.sleep(0.2)
    assert rebuilt.left == 0
    assert rebuilt.repair is not None
    assert await owner.fetchval("SELECT role FROM users WHERE user_id = 3") == "STAFF"
    appends, events = len(durations_s), await owner.fetchval("SELECT count(*) FROM es.event") - before
    assert appends > 20
    assert events == appends // 2 * 3 + 2


async def test_a_rebuild_waits_for_a_long_transaction_without_blocking_other_appends(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute("UPDATE users SET name = 'x' WHERE user_id = 100")
    long = owner.transaction()
    await long.start()
    await event_store.append(owner, "user-77", [PasswordChanged(user_id=77)], CAUSE, expected_version=0)
    async with appending(sound) as durations_s:
        rebuilding = asyncio.create_task(rebuild(sound))

        async def waits() -> bool:
            return bool(
                await owner.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            )

        await eventually(waits)
        appends_before = len(durations_s)
        await asyncio.sleep(1.2)
        assert not rebuilding.done()
        assert len(durations_s) > appends_before + 10
        await long.rollback()
        rebuilt = await rebuilding
    assert rebuilt.left == 0
    assert rebuilt.repair is not None
    assert rebuilt.repair.pause.attempts_given_up >= 1


async def test_a_rebuild_yields_to_an_append_that_holds_a_damaged_row(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    """The append would wait for the end of the pause, and the rebuild for the row. So the rebuild ends its pause."""
    await owner.execute("UPDATE users SET name = 'x' WHERE user_id = 100")
    long = owner.transaction()
    await long.start()
    await owner.execute("SELECT FROM users WHERE user_id = 100 FOR UPDATE")
    rebuilding = asyncio.create_task(rebuild(sound))
    # pg_stat_activity would not change within the open transaction, so the query reads pg_locks.
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
    await eventually(lambda: owner.fetchval(waits))
    await event_store.append(owner, "user-77", [PasswordChanged(user_id=77)], CAUSE, expected_version=0)
    await long.rollback()
    rebuilt = await rebuilding
    assert rebuilt.left == 0
    assert rebuilt.repair is not None
    assert rebuilt.repair.pause.attempts_given_up >= 1


async def test_a_rebuild_killed_during_its_repair_changes_nothing(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    original = await content(owner)
    await owner.execute("DELETE FROM students WHERE student_id BETWEEN 100 AND 119")
    await owner.execute("DELETE FROM users WHERE user_id BETWEEN 100 AND 119")
    await owner.execute(SLOW.format(seconds=60))
    damaged = await content(owner)
    process = command(sound, "--yes", "--longest-pause", "120")
    # At the sleep, `students` is repaired, and the repair of `users` has begun.
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    try:
        await eventually(lambda: owner.fetchval(sleeping), within_s=60)
    finally:
        process.kill()
        process.communicate()
    started_s = monotonic()
    # This stream type has no projection, so the slow trigger on `users` does not run.
    await event_store.append(owner, "import-77", [PasswordChanged(user_id=3)], CAUSE, expected_version=0)
    assert monotonic() - started_s < 5
    await owner.execute(NOT_SLOW)
    assert await content(owner) == damaged
    assert (await rebuild(sound)).left == 0
    assert await content(owner) == original


@pytest.mark.full_only
async def test_a_repair_that_takes_too_long_is_given_up_and_changes_nothing(
    sound: str, owner: "Owner[asyncpg.Record]"
) -> None:
    await owner.execute("DELETE FROM users WHERE user_id BETWEEN 100 AND 119")
    await owner.execute(SLOW.format(seconds=60))
    damaged = await content(owner)
    code, output = await run_command(sound, "--yes", "--longest-pause", "0.5")
    assert (code, "longer than 0.5 s" in output) == (NO, True), output
    await owner.execute(NOT_SLOW)
    assert await content(owner) == damaged
    assert (await rebuild(sound)).left == 0


@pytest.mark.full_only
async def test_nothing_is_changed_without_confirmation(sound: str, owner: "Owner[asyncpg.Record]") -> None:
    await owner.execute("UPDATE users SET name = 'x' WHERE user_id = 100")
    damaged = await content(owner)
    for arguments in (("--dry-run", "--yes"), ()):
        code, output = await run_command(sound, *arguments)
        assert (code, "1 differences" in output) == (NO, True), output
    assert "without a terminal" in output
    assert await content(owner) == damaged
    code, output = await run_command(sound, "--yes")
    assert (code, "Compared again: no difference" in output, "Appends were paused for" in output) == (0, True, True), (
        output
    )


@pytest.mark.full_only
@pytest.mark.timeout(900)
async def test_a_large_log_is_rebuilt_during_appends(
    database_url: str, owner: "Owner[asyncpg.Record]", capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(10):
        await owner.execute(ENROL, EVENTS // 10)
    await owner.execute("ANALYZE")
    await owner.execute("DELETE FROM students WHERE student_id % 2000 = 7")
    await owner.execute("UPDATE users SET name = name || '!' WHERE user_id % 3000 = 8")
    await owner.execute("INSERT INTO students (student_id, roll_number, active_backlogs) VALUES (9000001, 'NEW', 0)")
    started_s, compared_s = monotonic(), 0.0

    def agree(_: Proposal) -> bool:
        nonlocal compared_s
        compared_s = monotonic() - started_s
        return True

    before = await owner.fetchval("SELECT count(*) FROM es.event")
    async with appending_at_a_pace(database_url, per_second=200) as durations_s:
        rebuilt = await rebuild(database_url, agree, longest_pause_s=1)
    total_s = monotonic() - started_s
    assert rebuilt.left == 0
    assert rebuilt.repair is not None
    assert await owner.fetchval("SELECT count(*) FROM es.event") == before + 2 * len(durations_s)
    events, pause = rebuilt.proposal.findings.events, rebuilt.repair.pause
    with capsys.disabled():
        print(  # noqa: T201 - a run at full size is for these figures
            f"\n{events:,} events compared in {compared_s:.1f} s ({events / compared_s:,.0f}/s); all done after"
            f" {total_s:.1f} s; appends paused {pause.seconds * 1000:.0f} ms; {len(durations_s):,} appends meanwhile,"
            f" the slowest {max(durations_s) * 1000:.0f} ms"
        )
    assert durations_s
    if FULL:
        assert events / compared_s >= 50_000
        assert max(durations_s) < 1


async def test_recomputed_ledgers_exclude_deactivated_students(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    """Rebuild takes from the log which accounts were active in the snapshot of each evaluation."""
    active, deactivated = [await enrolled(api, number, cgpa="9.00") for number in range(2)]
    head = {"name": "Asha", "email": "asha@college.edu", "role": "HEAD", "password": "correct horse"}
    head_id = (await api.post("/api/users", json=head)).json()["user_id"]
    await drive(api, min_cgpa="7")
    async with working(database_url) as worker:
        await done(worker, *await queued(owner))
        assert (await api.post(f"/api/users/{deactivated}/deactivate", "HEAD", head_id)).status_code == 200
        await done(worker, *await queued(owner))
    ledger = "SELECT student_id, selected_version, revoked_version FROM selections ORDER BY 1, 2"
    before = await owner.fetch(ledger)
    assert [(row["student_id"], row["revoked_version"] is None) for row in before] == [
        (active, True),
        (deactivated, False),
    ]
    await owner.execute("UPDATE selections SET revoked_version = NULL, revoked_at = NULL")
    await owner.execute("UPDATE users SET active = true")
    rebuilt = await rebuild(database_url)
    assert (rebuilt.left, rebuilt.proposal.impossible) == (0, ())
    assert await owner.fetch(ledger) == before
    assert await owner.fetchval("SELECT active FROM users WHERE user_id = $1", deactivated) is False
