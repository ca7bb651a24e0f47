"""Block every change on a server until the log is opened again: ``placewire close-log``."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import asyncpg
import orjson

from chassis.eventstore import log_guard
from chassis.postgres.database import Connection
from cli.failures import WRONG_USE, Failure
from cli.moving import sequences
from cli.moving.adoption import READ_ONLY, WRITABLE, current_epoch, owner_session, set_default
from cli.replay.pausing import ALONE

POLL_S = 0.2
MAY_END_SESSIONS = """
SELECT rolsuper OR (pg_has_role(current_user, 'pg_signal_backend', 'USAGE')
                    AND pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'))
  FROM pg_roles WHERE rolname = current_user
"""
CLOSE = """
UPDATE es.epoch SET closed_at = coalesce(closed_at, clock_timestamp()), sequences = $2 WHERE number = $1
RETURNING closed_at
"""
OPEN_AGAIN = "UPDATE es.epoch SET closed_at = NULL, sequences = NULL WHERE number = $1"
SESSIONS = """
SELECT s.pid, s.usename, s.application_name,
       CASE WHEN r.rolsuper AND NOT own.rolsuper THEN false ELSE pg_terminate_backend(s.pid) END AS ended
  FROM pg_stat_activity s JOIN pg_roles r ON r.oid = s.usesysid JOIN pg_roles own ON own.rolname = current_user
 WHERE s.datname = current_database() AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
   AND s.backend_start < $1
"""
WAL_END = "SELECT pg_current_wal_insert_lsn()::text"
SLOTS = """
SELECT slot_name, coalesce(confirmed_flush_lsn >= $1::text::pg_lsn, false) AS received, active FROM pg_replication_slots
 WHERE slot_type = 'logical' AND database = current_database() ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed log. ``lsn``: the end of the WAL. ``received``: the logical replication slots that have confirmed it."""

    at: datetime
    lsn: str
    received: Sequence[str]


async def close(url: str, *, within_s: float) -> Closed:
    """Close the log, end every session, and wait until logical replication has received all of the WAL.

    ``url``: a superuser's, or the owner's with the roles pg_signal_backend and pg_read_all_stats. Waits at most
    ``within_s`` seconds for writers, as long for sessions, and as long for replication slots. Safe to repeat.
    """
    async with owner_session(url) as connection:
        await _require_current(connection)
        try:
            closed_at = await _close(connection, within_s)
        except asyncpg.LockNotAvailableError as error:
            raise Failure(f"a transaction has held the log for {within_s:g} s: nothing was changed") from error
        await _end_sessions(connection, within_s)
        lsn = await connection.fetchval(WAL_END)
        return Closed(closed_at, lsn, await _received(connection, lsn, within_s))


async def reopen(url: str, *, within_s: float) -> None:
    """Open a log again on the server that closed it. Must not be called after another server has adopted the log."""
    async with owner_session(url) as connection:
        await _require_current(connection)
        async with connection.transaction():
            await set_default(connection, WRITABLE)
            await connection.execute(OPEN_AGAIN, (await current_epoch(connection)).number)
        await _end_sessions(connection, within_s)  # sessions that are still read-only


async def _require_current(connection: Connection) -> None:
    await log_guard.require_adopted(connection)
    if not await connection.fetchval(MAY_END_SESSIONS):
        raise Failure(
            "this role may not end sessions of others: use a superuser, or GRANT pg_signal_backend, pg_read_all_stats",
            WRONG_USE,
        )


async def _close(connection: Connection, within_s: float) -> datetime:
    # A closed log refuses events in every session. New sessions are read-only, so they also refuse writes without
    # events, such as passwords. Sessions that began earlier can still make such writes, so `close` ends them.
    await connection.execute(f"SET lock_timeout = '{int(within_s * 1000)}ms'")
    async with connection.transaction():
        await connection.execute(ALONE)
        await set_default(connection, READ_ONLY)
        epoch, values = await current_epoch(connection), await sequences.values(connection)
        closed_at: datetime = await connection.fetchval(CLOSE, epoch.number, orjson.dumps(values).decode())
    return closed_at


async def _end_sessions(connection: Connection, within_s: float) -> None:
    """End every session that began before now. Such a session still has the old default for read-only.

    Raises ``Failure`` when a session has not ended after ``within_s`` seconds.
    """
    now = await connection.fetchval("SELECT clock_timestamp()")
    sessions: list[asyncpg.Record] = []

    async def all_ended() -> bool:
        sessions[:] = await connection.fetch(SESSIONS, now)
        return not sessions

    if not await _becomes_true(all_ended, within_s):
        names = ", ".join(sorted({f"{row['usename']} ({row['application_name']})" for row in sessions}))
        raise Failure(f"sessions have not ended and may still write: {names}. End them, then run this again")


async def _received(connection: Connection, lsn: str, within_s: float) -> list[str]:
    slots: list[asyncpg.Record] = []

    async def all_received() -> bool:
        slots[:] = await connection.fetch(SLOTS, lsn)
        return all(row["received"] for row in slots)

    if not await _becomes_true(all_received, within_s):
        late = ", ".join(row["slot_name"] for row in slots if not row["received"])
        raise Failure(f"the log is closed, but {late} has not confirmed {lsn} within {within_s:g} s: run this again")
    return [row["slot_name"] for row in slots]


async def _becomes_true(condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    deadline = monotonic() + within_s
    while not await condition():
        if monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
