"""Run ``verify`` with two connections that use the same snapshot. The system keeps working meanwhile."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from chassis.postgres.database import connect_alone, translated
from cli.failures import Failure
from cli.replay import comparison, ledgers, projection, tables
from cli.replay.comparison import Found, TableFindings, side_by_side
from cli.replay.ledgers import CheckFindings
from cli.replay.projection import BEGINNING, LogSnapshot
from cli.replay.tables import Table

# The limits of roles are for services. This transaction is long, but holds no lock and writes nothing.
READER = """
SET search_path = public;
SET jit = off;
SET statement_timeout = 0;
SET transaction_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
"""

NOW = "SELECT es.log_snapshot()::text"
ERASURES = "SELECT count(*) FROM vault.erasure"

Session = asyncpg.Connection


@dataclass(frozen=True, slots=True)
class Findings:
    events: int
    tables: tuple[TableFindings, ...]
    checks: tuple[CheckFindings, ...]

    @property
    def differences(self) -> int:
        return self.different_rows + sum(found.wrong for found in self.checks)

    @property
    def different_rows(self) -> int:
        return sum(found.different for found in self.tables)


@dataclass(frozen=True, slots=True)
class ProgressCallbacks:
    """``began`` is called with the number of events, ``projected`` with the number in each projected chunk."""

    began: Callable[[int], None]
    projected: Callable[[int], None]


@dataclass(slots=True)
class Replay:
    """The log, projected by ``projector`` up to the snapshot ``at``, and the live tables that ``reader`` sees."""

    reader: "Session[asyncpg.Record]"
    projector: "Session[asyncpg.Record]"
    tables: list[Table]
    at: LogSnapshot = BEGINNING

    async def compared(self, watching: ProgressCallbacks, *, limit: int, found: Found | None = None) -> Findings:
        """Project all events so far, compare every table, check every ledger. ``found``: see ``comparison.compare``."""
        while True:
            async with self.reader.transaction(isolation="repeatable_read", readonly=True):
                now = await _snapshot(self.reader)
                watching.began(now.events - self.at.events)
                # Two server processes work at the same time: one checks the ledgers while the other projects the log.
                _, checks = await side_by_side(self._project(now, watching), _check(self.reader, limit))
                # The projection reads details from the vault. If an erasure after `now` deleted some, try again.
                if await self.projector.fetchval(ERASURES) != await self.reader.fetchval(ERASURES):
                    continue
                compared = [
                    await comparison.compare(self.reader, self.projector, table, limit=limit, found=found)
                    for table in self.tables
                ]
            return Findings(now.events, tuple(compared), tuple(checks))

    async def caught_up(self) -> int:
        """Project the events that were committed since ``at``. Return their number."""
        count, now = 0, LogSnapshot(await self.projector.fetchval(NOW), self.at.events)
        async for projected in projection.project(self.projector, self.tables, now, since=self.at):
            count += projected
        self.at = LogSnapshot(now.text, now.events + count)
        return count

    async def _project(self, now: LogSnapshot, watching: ProgressCallbacks) -> None:
        try:
            async for count in projection.project(self.projector, self.tables, now, since=self.at):
                watching.projected(count)
        except asyncpg.ReadOnlySQLTransactionError as error:
            raise Failure(f"a projection used a table that is not projected, and was stopped: {error}") from error
        self.at = now


async def verify(url: str, watching: ProgressCallbacks, *, limit: int) -> Findings:
    """Replay the log, compare it with the tables, and check every ledger.

    Returns the first ``limit`` differences of each table and check. ``url``: a role that may read everything. Blocks no
    other session and writes nothing. Raises ``Unavailable``, and ``Failure`` when tables are missing.
    """
    async with replaying(url, "placewire-verify") as replay:
        return await replay.compared(watching, limit=limit)


@asynccontextmanager
async def replaying(url: str, application_name: str) -> AsyncIterator[Replay]:
    """Yield a replay that has projected nothing yet. Its two sessions end with the block."""
    async with _session(url, application_name) as reader, _session(url, application_name) as projector:
        await reader.execute(READER)
        described = await tables.describe(reader)
        await projection.prepare(projector, described)
        yield Replay(reader, projector, described)


async def _snapshot(reader: "Session[asyncpg.Record]") -> LogSnapshot:
    row = await reader.fetchrow("SELECT es.log_snapshot()::text AS text, count(*) AS events FROM es.event")
    assert row is not None
    return LogSnapshot(row["text"], row["events"])


async def _check(reader: "Session[asyncpg.Record]", limit: int) -> list[CheckFindings]:
    return [await ledgers.check(reader, name, limit=limit) for name in ledgers.CHECKS]


@asynccontextmanager
async def _session(url: str, application_name: str) -> AsyncIterator["Session[asyncpg.Record]"]:
    session = await connect_alone(url, application_name=application_name)
    try:
        with translated(session):
            yield session
    finally:
        await session.close(timeout=5)
