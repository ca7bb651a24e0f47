"""Ask for a refresh of the views as soon as their data has changed and a refresh is cheap.

The pause after a refresh grows with its duration, so refreshes take at most a fiftieth of the time on a large campus,
and a small campus sees a change within about a second. The database is asked for changes; neither Kafka nor a notice
is needed, and the worker of this process receives the job at once.
"""

import asyncio
from uuid import UUID

import structlog

from chassis import notify
from chassis.database import Connection, Database
from chassis.errors import Conflict, Contended, Unavailable
from chassis.notify import Notifier
from chassis.worker import Receive
from contracts.maintenance import RefreshCause, RefreshRequested
from services.maintenance import schedule, sql
from services.maintenance.clock import request_refresh
from services.maintenance.sql import LastRefresh

POLL_S = 0.25
# Changes come in groups: a drive is marked and finished in one go. One refresh shows them all.
SETTLE_S = 0.3
MIN_PAUSE_S = 1.0
PAUSE_PER_DURATION = 50

log = structlog.get_logger()


def pause_s(last_duration_s: float, max_pause_s: float) -> float:
    """Return how long after a refresh the next one may follow: ``PAUSE_PER_DURATION`` times its duration, in bounds."""
    return min(max(MIN_PAUSE_S, PAUSE_PER_DURATION * last_duration_s), max_pause_s)


class ChangeWatch:
    """Watches for changes; every replica does, and together they ask once.

    ``max_pause_s``: the longest pause between two refreshes. ``receive``: begin the jobs with these ids here.
    """

    def __init__(self, database: Database, notifier: Notifier, receive: Receive, *, max_pause_s: float) -> None:
        self._database = database
        self._notifier = notifier
        self._receive = receive
        self._max_pause_s = max_pause_s
        # Up to the snapshot nothing has changed since the refresh: what was looked at is not looked at again.
        self._unchanged: tuple[UUID | None, str] | None = None

    async def run(self) -> None:
        """Look every ``POLL_S`` until cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, Contended) as error:
                log.warning("change_watch.interrupted", reason=str(error))
            await asyncio.sleep(POLL_S)

    async def look(self) -> UUID | None:
        """Ask for a refresh if the views' data has changed and the pause is over. Returns the job asked for."""
        async with self._database.connection() as connection:
            last = await sql.last_refresh(connection)
            if last.under_way or last.since_s < pause_s(last.duration_s, self._max_pause_s):
                return None
            if not await self._has_changed(connection, last):
                return None
            minute = int((await sql.now(connection)).timestamp() // 60)
        await asyncio.sleep(SETTLE_S)
        return await self._ask(schedule.change_id(last.run_id, minute))

    async def _has_changed(self, connection: Connection, last: LastRefresh) -> bool:
        same_run = self._unchanged is not None and self._unchanged[0] == last.run_id
        snapshot = self._unchanged[1] if same_run and self._unchanged is not None else last.snapshot
        changed, seen = await sql.changed_since(connection, snapshot)
        if not changed:
            self._unchanged = last.run_id, seen
        return changed

    async def _ask(self, id_: UUID) -> UUID | None:
        try:
            async with self._database.transaction() as connection:
                appended = await request_refresh(
                    connection, RefreshRequested(refresh_id=id_, cause=RefreshCause.CHANGE)
                )
        except Conflict:
            return None  # another replica, at the same moment
        if appended.duplicate:
            return None
        log.info("refresh.requested", job_id=str(id_), cause=RefreshCause.CHANGE)
        await self._receive([id_])
        self._notifier.notify(notify.OUTBOX)
        return id_
