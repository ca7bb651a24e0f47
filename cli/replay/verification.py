"""The whole of ``verify``: two connections, one moment. The system goes on working meanwhile."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from chassis.database import connect_alone, translated
from cli.failures import Failure
from cli.replay import comparison, ledgers, projection, tables
from cli.replay.comparison import TableFindings
from cli.replay.ledgers import CheckFindings
from cli.replay.projection import Snapshot
from cli.replay.side_by_side import side_by_side
from cli.replay.tables import Table

# The role's own limits are for services; this transaction is long, holds no lock and writes nothing.
READER = """
SET search_path = public;
SET jit = off;
SET statement_timeout = 0;
SET transaction_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
"""

Session = asyncpg.Connection


@dataclass(frozen=True, slots=True)
class Findings:
    events: int
    tables: tuple[TableFindings, ...]
    checks: tuple[CheckFindings, ...]

    @property
    def differences(self) -> int:
        return sum(found.different for found in self.tables) + sum(found.wrong for found in self.checks)


@dataclass(frozen=True, slots=True)
class Watching:
    """Told how far it is: ``began`` with the number of events, ``projected`` with each chunk's."""

    began: Callable[[int], None]
    projected: Callable[[int], None]


async def verify(url: str, watching: Watching, *, most: int) -> Findings:
    """Project the log anew and compare; check every ledger. The first ``most`` differences of each are told.

    Any role that may read everything will do. Blocks nobody and leaves nothing behind.
    Raises ``Unavailable``, and ``Failure`` when tables are missing.
    """
    async with _session(url) as reader, _session(url) as projector:
        await reader.execute(READER)
        async with reader.transaction(isolation="repeatable_read", readonly=True):
            described = await tables.describe(reader)
            snapshot = await _snapshot(reader)
            watching.began(snapshot.events)
            await projection.prepare(projector, described)
            # Two servers' processes: the ledgers are checked while the log is projected.
            _, checks = await side_by_side(_project(projector, described, snapshot, watching), _check(reader, most))
            compared = [await comparison.compare(reader, projector, table, most=most) for table in described]
    return Findings(snapshot.events, tuple(compared), tuple(checks))


async def _snapshot(reader: "Session[asyncpg.Record]") -> Snapshot:
    row = await reader.fetchrow("SELECT pg_current_snapshot()::text AS text, count(*) AS events FROM es.event")
    assert row is not None
    return Snapshot(row["text"], row["events"])


async def _project(
    projector: "Session[asyncpg.Record]", described: list[Table], snapshot: Snapshot, watching: Watching
) -> None:
    try:
        async for count in projection.project(projector, described, snapshot):
            watching.projected(count)
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise Failure(f"a projection reached for something that is not projected, and was stopped: {error}") from error


async def _check(reader: "Session[asyncpg.Record]", most: int) -> list[CheckFindings]:
    return [await ledgers.check(reader, name, most=most) for name in ledgers.CHECKS]


@asynccontextmanager
async def _session(url: str) -> AsyncIterator["Session[asyncpg.Record]"]:
    session = await connect_alone(url, application_name="placewire-verify")
    try:
        with translated(session):
            yield session
    finally:
        await session.close(timeout=5)
