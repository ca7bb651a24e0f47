"""Transaction ids of the log are shifted by the offset of the epoch. A moved or closed log refuses changes."""

import re
from pathlib import Path

import asyncpg
import pytest

from chassis.errors import LogNotAdopted, ReadOnly
from chassis.eventstore import event_store
from chassis.jobs import queue
from chassis.postgres.database import Database
from cli.doctor import database as doctor
from cli.failures import Failure
from cli.moving import adoption, closing, recorded, sequences
from cli.moving.recorded import COLUMNS
from contracts.users import PasswordChanged
from tests.conftest import must_verify
from tests.integration.test_rebuild import CAUSE
from tests.support.system import as_role

ROOT = Path(__file__).parents[2]
OWN_IDS = re.compile(r"pg_current_xact_id|pg_current_snapshot|pg_xact_status|txid_(current|snapshot|status)")
PRODUCT = ("chassis", "services", "cli", "contracts", "bench", "migrations/versions")
# Only these functions may use the transaction ids of the server.
LOG_FUNCTIONS = {"log_xid", "log_tx", "log_horizon", "log_snapshot", "log_xid_status", "adoption_reason"}
# Computes the offset of a new epoch from the server's transaction ids.
OPENS_EPOCHS = "cli/moving/adoption.py"
FUNCTIONS = """
SELECT p.proname, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
READ_ONLY_DEFAULTS = """
SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
 WHERE d.datname = current_database() AND s.setrole = 0
"""
FAR = 5_000_000_000
# The state after a move: the rows of the epoch name another server.
MOVED = "UPDATE es.epoch SET system_identifier = 1"
IDS = """
SELECT es.log_offset() AS log_offset, es.log_xid()::text::bigint AS xid, pg_current_xact_id()::text::bigint AS own,
       es.log_horizon()::text::bigint AS horizon, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS own_horizon,
       es.log_snapshot()::text AS snapshot, pg_current_snapshot()::text AS own_snapshot
"""

Owner = asyncpg.Connection


async def append(owner: "Owner[asyncpg.Record]", user_id: int) -> None:
    await event_store.append(owner, f"user-{user_id}", [PasswordChanged(user_id=user_id)], CAUSE, expected_version=None)


async def set_newest_tx(owner: "Owner[asyncpg.Record]", tx: int) -> None:
    """Give the newest event the transaction id ``tx``, as if another server had recorded it."""
    await owner.execute("SET session_replication_role = replica")
    await owner.execute(
        "UPDATE es.event SET tx = $1::text::xid8, xid = $1::text::xid8"
        " WHERE position = (SELECT max(position) FROM es.event)",
        str(tx),
    )
    await owner.execute("SET session_replication_role = origin")


def test_only_adoption_uses_the_transaction_ids_of_the_server() -> None:
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    using = {path.relative_to(ROOT).as_posix() for path in files if OWN_IDS.search(path.read_text())}
    assert using == {OPENS_EPOCHS}


async def test_only_the_log_functions_use_the_transaction_ids_of_the_server(owner: "Owner[asyncpg.Record]") -> None:
    rows = await owner.fetch(FUNCTIONS)
    assert {row["proname"] for row in rows if OWN_IDS.search(row["prosrc"])} == LOG_FUNCTIONS


async def test_ids_and_snapshots_are_shifted_by_the_offset(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    await append(owner, 1)
    await set_newest_tx(owner, FAR)
    older = await asyncpg.connect(database_url)
    planned = await owner.prepare("SELECT es.log_horizon()::text::bigint")
    assert await planned.fetchval() < FAR
    try:
        async with older.transaction():
            in_progress = int(await older.fetchval("SELECT pg_current_xact_id()::text::bigint"))
            await owner.execute("SELECT pg_current_xact_id()")
            adopted = await adoption.adopt(database_url)
            row = await owner.fetchrow(IDS)
            assert row is not None
            offset = row["log_offset"]
            assert offset == adopted.epoch.xid_offset > FAR - in_progress
            assert row["xid"] == row["own"] + offset
            assert row["horizon"] == row["own_horizon"] + offset == in_progress + offset > FAR
            xmin, xmax, running = row["own_snapshot"].split(":")
            shifted = ",".join(str(int(xid) + offset) for xid in running.split(","))
            assert row["snapshot"] == f"{int(xmin) + offset}:{int(xmax) + offset}:{shifted}"
            assert str(in_progress + offset) in shifted.split(",")
        # The prepared statement is planned again. Its old plan contained the old offset.
        assert await planned.fetchval() > FAR
    finally:
        await older.close()


async def test_events_of_a_new_epoch_follow_the_old_ones_and_are_not_visible_to_old_snapshots(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await append(owner, 1)
    await set_newest_tx(owner, FAR)
    old = f"{FAR + 10}:{FAR + 10}:"
    await owner.execute("INSERT INTO notification_read_marks VALUES (1, $1::text::pg_snapshot, now())", old)
    await adoption.adopt(database_url)
    await append(owner, 2)
    log = await owner.fetch(event_store.READ_LOG, 0, 0, 10)
    assert [row["stream_id"] for row in log] == ["user-1", "user-2"]
    assert log[0]["tx"] == FAR < FAR + 10 <= log[1]["tx"]
    rows = await owner.fetch(
        "SELECT pg_visible_in_snapshot(xid, $1::text::pg_snapshot) AS old,"
        "       pg_visible_in_snapshot(xid, es.log_snapshot()) AS new FROM es.event ORDER BY position",
        old,
    )
    assert [(row["old"], row["new"]) for row in rows] == [(True, True), (False, True)]


@pytest.mark.damages
async def test_the_newest_recorded_id_is_found_in_every_column(owner: "Owner[asyncpg.Record]") -> None:
    await append(owner, 1)
    columns = await owner.fetch(COLUMNS)
    assert len(columns) >= 8
    await owner.execute("SET session_replication_role = replica")
    # Each value is above the former one, and far above the ids of the server. A snapshot does not include its xmax.
    statements = (
        ("UPDATE es.event SET tx = '{}'", 0),
        ("UPDATE es.event SET xid = '{}'", 0),
        ("UPDATE es.stream SET last_tx = '{}'", 0),
        ("INSERT INTO es.subscription (name, tx) VALUES ('x', '{}')", 0),
        ("INSERT INTO notification_read_marks VALUES (1, '3:{}:', now())", 1),
        ('UPDATE es.event SET data = data || \'{{"snapshot": "3:{}:"}}\'', 1),
        (
            "INSERT INTO view_refresh (view_name, refreshed_at, began_at, finished_at, duration_s, rows, run_id,"
            " snapshot) VALUES ('x', now(), now(), now(), 0, 0, gen_random_uuid(), '3:{}:') ",
            1,
        ),
    )
    for number, (statement, beyond) in enumerate(statements):
        value = FAR + 10 * number
        await owner.execute(statement.format(value))
        assert await recorded.newest(owner) == value - beyond, statement


@pytest.mark.damages
@pytest.mark.parametrize(
    ("moved", "reason"),
    [
        ("DELETE FROM es.epoch", "NO_EPOCH"),
        (MOVED, "OTHER_SERVER"),
        ("UPDATE es.epoch SET xid_offset = 7", "OFFSET_DIFFERS"),
        (f"UPDATE es.event SET tx = '{FAR}'", "AHEAD_OF_SERVER"),
    ],
)
async def test_nothing_may_connect_or_append_before_adoption_and_everything_after(
    owner: "Owner[asyncpg.Record]", database_url: str, moved: str, reason: str
) -> None:
    await append(owner, 1)
    await owner.execute("SET session_replication_role = replica")
    await owner.execute(moved)
    await owner.close()
    database = Database(as_role(database_url, "placewire_api"), pool_size=1, application_name="test")
    fresh = await asyncpg.connect(database_url)
    try:
        with pytest.raises(LogNotAdopted, match="placewire adopt-log"):
            async with database.connection():
                pass
        with pytest.raises(asyncpg.PostgresError) as refused:
            await append(fresh, 2)
        assert refused.value.sqlstate == "ES004"
        dry_run = await adoption.adopt(database_url, dry_run=True)
        assert (dry_run.reason, dry_run.old_log_open) == (reason, reason == "OTHER_SERVER")
        assert (await adoption.adopt(database_url)).reason == reason
        assert not (await adoption.adopt(database_url)).needed
        await append(fresh, 3)
        async with database.connection() as connection:
            log = await event_store.read_log(connection, event_store.Cursor(), limit=10)
        assert [event.stream for _, event in log] == ["user-1", "user-3"]
    finally:
        await fresh.close()
        await database.close()


async def test_a_closed_log_refuses_every_change_until_it_is_reopened(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await owner.execute("SELECT nextval('user_id_seq')")
    await append(owner, 1)
    database = Database(database_url, pool_size=1, application_name="test")
    try:
        async with database.connection() as connection:
            await connection.fetchval("SELECT 1")
        closed = await closing.close(database_url, within_s=10)
        assert not closed.received
        assert owner.is_closed(), "closing must end sessions that could still write"
        for _ in range(2):
            async with database.connection() as connection:
                assert len(await event_store.read_log(connection, event_store.Cursor(), limit=10)) == 1
        with pytest.raises(ReadOnly):
            async with database.connection() as connection:
                await connection.execute("UPDATE credentials SET user_id = user_id")
        writer = await asyncpg.connect(database_url)
        # A session that turns off the read-only default is refused as well.
        await writer.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await append(writer, 1)
        assert refused.value.sqlstate == "ES003"
        await writer.close()
        assert (await closing.close(database_url, within_s=10)).at == closed.at
        await must_verify(database_url)  # verify works on a read-only database
        assert not (await adoption.adopt(database_url)).needed
        fixes = [finding.fix async for finding in doctor.look(database_url) if finding.what == "closed log"]
        assert len(fixes) == 1
        assert "placewire close-log --reopen" in fixes[0]
        await closing.reopen(database_url, within_s=10)
        async with database.transaction() as connection:
            await append(connection, 1)  # type: ignore[arg-type]
    finally:
        await database.close()


async def test_closing_needs_a_role_that_may_end_sessions(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    with pytest.raises(Failure, match="pg_signal_backend"):
        await closing.close(as_role(database_url, "placewire_api"), within_s=10)
    assert await owner.fetchval("SELECT closed_at FROM es.epoch") is None


async def test_a_log_in_use_is_not_closed(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    writer = await asyncpg.connect(database_url)
    try:
        async with writer.transaction():
            await append(writer, 1)
            with pytest.raises(Failure, match="nothing was changed"):
                await closing.close(database_url, within_s=1)
        assert await owner.fetchval("SELECT closed_at FROM es.epoch") is None
        assert await owner.fetchval(READ_ONLY_DEFAULTS) == 0
        await owner.execute("SELECT nextval('user_id_seq')")
        fresh = await asyncpg.connect(database_url)
        await append(fresh, 2)
        await fresh.close()
    finally:
        await writer.close()


async def test_the_status_of_a_transaction_of_an_earlier_epoch_is_unknown(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await append(owner, 1)
    await set_newest_tx(owner, FAR)
    earlier = await owner.fetchval("SELECT es.log_xid()::text")
    await adoption.adopt(database_url)
    assert await owner.fetchval("SELECT es.log_xid_status($1::text::xid8)", earlier) is None
    assert await queue.has_committed(owner, earlier), "a transaction of unknown status must count as committed"
    later = await owner.fetchval("SELECT es.log_xid()::text")
    assert await owner.fetchval("SELECT es.log_xid_status($1::text::xid8)", later) == "committed"


async def test_every_sequence_is_checked(owner: "Owner[asyncpg.Record]") -> None:
    assert await sequences.behind(owner, {}) == {}
    names = {row["name"] for row in await owner.fetch(sequences.ALL)}
    assert await sequences.behind(owner, dict.fromkeys(names, 1000)) == dict.fromkeys(names, 1000)


async def test_every_table_can_be_replicated(owner: "Owner[asyncpg.Record]") -> None:
    without_identity = """
        SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
           AND (c.relpersistence <> 'p'
                OR NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))"""
    assert [row[0] for row in await owner.fetch(without_identity)] == []
    # Replication copies the effects of triggers, so no trigger may fire on the subscriber.
    assert await owner.fetchval("SELECT count(*) FROM pg_trigger WHERE tgenabled IN ('A', 'R')") == 0
