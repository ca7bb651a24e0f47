"""The log's own transaction ids, shifted by the offset of its epoch; and who may use a log that moved or is closed."""

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
# The only functions that may use the server's own ids.
LOG_FUNCTIONS = {"log_xid", "log_tx", "log_horizon", "log_snapshot", "log_xid_status", "adoption_reason"}
# The offset of a new epoch is made of one of them.
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
# As after a move: the rows of another server.
MOVED = "UPDATE es.epoch SET system_identifier = 1"
IDS = """
SELECT es.log_offset() AS log_offset, es.log_xid()::text::bigint AS xid, pg_current_xact_id()::text::bigint AS own,
       es.log_horizon()::text::bigint AS horizon, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS own_horizon,
       es.log_snapshot()::text AS snapshot, pg_current_snapshot()::text AS own_snapshot
"""

Owner = asyncpg.Connection


async def append(owner: "Owner[asyncpg.Record]", user_id: int) -> None:
    await event_store.append(owner, f"user-{user_id}", [PasswordChanged(user_id=user_id)], CAUSE, expected_version=None)


async def ahead(owner: "Owner[asyncpg.Record]", tx: int) -> None:
    """Let the newest event have been recorded by a server that has counted to ``tx``."""
    await owner.execute("SET session_replication_role = replica")
    await owner.execute(
        "UPDATE es.event SET tx = $1::text::xid8, xid = $1::text::xid8"
        " WHERE position = (SELECT max(position) FROM es.event)",
        str(tx),
    )
    await owner.execute("SET session_replication_role = origin")


def test_no_other_statement_uses_the_servers_own_transaction_ids() -> None:
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files if OWN_IDS.search(path.read_text())}
    assert found == {OPENS_EPOCHS}


async def test_no_other_function_uses_the_servers_own_transaction_ids(owner: "Owner[asyncpg.Record]") -> None:
    rows = await owner.fetch(FUNCTIONS)
    assert {row["proname"] for row in rows if OWN_IDS.search(row["prosrc"])} == LOG_FUNCTIONS


async def test_ids_and_snapshots_are_shifted_by_the_offset(owner: "Owner[asyncpg.Record]", database_url: str) -> None:
    await append(owner, 1)
    await ahead(owner, FAR)
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
        # A statement that was planned before is planned again: the planner had inlined the old offset.
        assert await planned.fetchval() > FAR
    finally:
        await older.close()


async def test_events_of_a_new_epoch_follow_the_old_ones_and_are_not_visible_to_old_snapshots(
    owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    await append(owner, 1)
    await ahead(owner, FAR)
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
async def test_every_recorded_id_counts_whatever_column_it_is_in(owner: "Owner[asyncpg.Record]") -> None:
    await append(owner, 1)
    columns = await owner.fetch(COLUMNS)
    assert len(columns) >= 8
    await owner.execute("SET session_replication_role = replica")
    # Far above the ids of the server, each above the one before. A snapshot's xmax is not among what it has seen.
    planted = (
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
    for number, (statement, beyond) in enumerate(planted):
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
        planned = await adoption.adopt(database_url, dry_run=True)
        assert (planned.reason, planned.old_log_open) == (reason, reason == "OTHER_SERVER")
        assert (await adoption.adopt(database_url)).reason == reason
        assert not (await adoption.adopt(database_url)).needed
        await append(fresh, 3)
        async with database.connection() as connection:
            log = await event_store.read_log(connection, event_store.Cursor(), limit=10)
        assert [event.stream for _, event in log] == ["user-1", "user-3"]
    finally:
        await fresh.close()
        await database.close()


async def test_a_closed_log_refuses_every_change_until_it_is_opened_again(
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
        assert owner.is_closed(), "sessions that began before could still write"
        for _ in range(2):
            async with database.connection() as connection:
                assert len(await event_store.read_log(connection, event_store.Cursor(), limit=10)) == 1
        with pytest.raises(ReadOnly):
            async with database.connection() as connection:
                await connection.execute("UPDATE credentials SET user_id = user_id")
        writer = await asyncpg.connect(database_url)
        # Also one that insists.
        await writer.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await append(writer, 1)
        assert refused.value.sqlstate == "ES003"
        await writer.close()
        assert (await closing.close(database_url, within_s=10)).at == closed.at
        await must_verify(database_url)  # also of a database that is read-only by default
        assert not (await adoption.adopt(database_url)).needed
        said = [finding.fix async for finding in doctor.look(database_url) if finding.what == "closed log"]
        assert len(said) == 1
        assert "placewire close-log --reopen" in said[0]
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
    await ahead(owner, FAR)
    earlier = await owner.fetchval("SELECT es.log_xid()::text")
    await adoption.adopt(database_url)
    assert await owner.fetchval("SELECT es.log_xid_status($1::text::xid8)", earlier) is None
    assert await queue.has_committed(owner, earlier), "so its effect is not repeated"
    later = await owner.fetchval("SELECT es.log_xid()::text")
    assert await owner.fetchval("SELECT es.log_xid_status($1::text::xid8)", later) == "committed"


async def test_the_use_of_every_sequence_is_known(owner: "Owner[asyncpg.Record]") -> None:
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
    # Rows arrive with their effects: no trigger may act on them again.
    assert await owner.fetchval("SELECT count(*) FROM pg_trigger WHERE tgenabled IN ('A', 'R')") == 0
