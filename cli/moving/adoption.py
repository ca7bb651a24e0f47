"""Make this server the one that writes the log: ``placewire adopt-log``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from chassis.eventstore import log_guard
from chassis.postgres.database import Connection, Database, connect_alone, translated
from cli.failures import Failure
from cli.moving import recorded, sequences
from cli.replay.pausing import ALONE
from services.maintenance import sql

LOCK_TIMEOUT_S = 30
SESSION = f"""
SET default_transaction_read_only = off;
SET statement_timeout = 0;
SET transaction_timeout = 0;
SET lock_timeout = '{LOCK_TIMEOUT_S}s'
"""
CURRENT = "SELECT number, xid_offset, closed_at, sequences FROM es.epoch ORDER BY number DESC LIMIT 1"
# Enabled subscriptions of logical replication. They write rows of the old server into this database.
SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription
 WHERE subenabled AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
"""
OLDEST_XID = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
OPEN = """
INSERT INTO es.epoch (number, xid_offset, first_xid, system_identifier)
SELECT $1, $2, ($3::bigint)::text::xid8, system_identifier FROM pg_control_system()
"""
SET_OFFSET = """
CREATE OR REPLACE FUNCTION es.log_offset() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT {offset}::bigint'
"""
# close-log makes the database read-only by default. A dump made with --create contains this setting.
IS_READ_ONLY = """
SELECT EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                WHERE d.datname = current_database() AND s.setrole = 0
                  AND 'default_transaction_read_only=on' = ANY (s.setconfig))
"""
READ_ONLY = "ALTER DATABASE {database} SET default_transaction_read_only = on"
WRITABLE = "ALTER DATABASE {database} RESET default_transaction_read_only"
EMPTY_VIEWS = """
SELECT format('%I.%I', schemaname, matviewname) AS name FROM pg_matviews WHERE NOT ispopulated ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The current epoch. ``number`` is 0 when there is no epoch yet."""

    number: int = 0
    xid_offset: int = 0
    closed_at: datetime | None = None
    sequences: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adoption:
    """The changes that an adoption makes.

    ``reason``: the code of es.adoption_reason; ``None`` when no new epoch is needed. ``epoch``: the epoch after the
    adoption. ``sequences``: the new values of sequences that were behind. ``views``: materialized views without data.
    ``old_log_open``: the log comes from another server, and was not closed there.
    """

    reason: str | None
    epoch: Epoch
    first_xid: int | None
    sequences: dict[str, int]
    views: list[str]
    old_log_open: bool

    @property
    def needed(self) -> bool:
        return self.reason is not None or bool(self.sequences) or bool(self.views)


async def adopt(url: str, *, dry_run: bool = False) -> Adoption:
    """If the log has moved here, open a new epoch above every recorded transaction id. Also fix sequences and views.

    ``url``: the owner's. Waits until the transactions that write events have ended. Idempotent: the next run completes
    an interrupted one. Raises ``Failure`` while logical replication still writes into this database.
    """
    async with owner_session(url) as connection:
        adoption = await _examine(connection)
        if adoption.needed and not dry_run:
            try:
                async with connection.transaction():
                    await connection.execute(ALONE)
                    adoption = await _examine(connection)
                    await _carry_out(connection, adoption)
            except asyncpg.LockNotAvailableError as error:
                raise Failure("a transaction that writes events is still running: stop the processes first") from error
    if adoption.views and not dry_run:
        database = Database(url, pool_size=1, application_name="placewire-cli")
        try:
            await sql.refresh_all(database)
        finally:
            await database.close()
    return adoption


@asynccontextmanager
async def owner_session(url: str) -> AsyncIterator[Connection]:
    """Yield a session of the owner that may use a closed log, and a log that is not adopted."""
    connection = await connect_alone(url, application_name="placewire-cli", adopted=False)
    try:
        with translated(connection):
            await connection.execute(SESSION)
            yield connection
    finally:
        await connection.close(timeout=5)


async def set_default(connection: Connection, statement: str) -> None:
    """Make new sessions of the database read-only or writable. ``statement``: ``READ_ONLY`` or ``WRITABLE``."""
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(statement.format(database=database))


async def current_epoch(connection: Connection) -> Epoch:
    row = await connection.fetchrow(CURRENT)
    if row is None:
        return Epoch()
    return Epoch(row["number"], row["xid_offset"], row["closed_at"], row["sequences"] or {})


async def _examine(connection: Connection) -> Adoption:
    reason, epoch = await log_guard.adoption_reason(connection), await current_epoch(connection)
    behind = await sequences.behind(connection, epoch.sequences)
    views = [row["name"] for row in await connection.fetch(EMPTY_VIEWS)]
    old_log_open = reason == "OTHER_SERVER" and epoch.closed_at is None
    first_xid = None
    if reason is not None:
        epoch, first_xid = await _next(connection, epoch)
    adoption = Adoption(reason, epoch, first_xid, behind, views, old_log_open)
    names = [row["subname"] for row in await connection.fetch(SUBSCRIPTIONS)]
    if adoption.needed and names:
        raise Failure(f"rows are still replicated into this database: drop or disable subscription {', '.join(names)}")
    return adoption


async def _carry_out(connection: Connection, adoption: Adoption) -> None:
    await sequences.advance(connection, adoption.sequences)
    if adoption.first_xid is None:
        return
    epoch = adoption.epoch
    await connection.execute(OPEN, epoch.number, epoch.xid_offset, adoption.first_xid)
    await connection.execute(SET_OFFSET.format(offset=epoch.xid_offset))
    if await connection.fetchval(IS_READ_ONLY):
        await set_default(connection, WRITABLE)


async def _next(connection: Connection, epoch: Epoch) -> tuple[Epoch, int]:
    """Return the next epoch and its first transaction id, which is above every recorded one."""
    oldest = await connection.fetchval(OLDEST_XID)
    offset = max(epoch.xid_offset, await recorded.newest(connection) + 1 - oldest)
    return Epoch(epoch.number + 1, offset), oldest + offset
