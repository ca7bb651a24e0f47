"""Request a refresh of the views when their data has changed and the pause after the last refresh is over.

The pause grows with the duration of the refresh. So on a large campus refreshes take at most 2 % of the time, and a
small campus sees a change within about a second. Changes are found by queries, without Kafka or notifications. The
worker of this process starts the job at once.
"""

import asyncio
from uuid import UUID

import structlog

from chassis.errors import Conflict, Contended, Unavailable
from chassis.messaging.subscribers import WakeWorker
from chassis.postgres import notify
from chassis.postgres.database import Connection, Database
from chassis.postgres.notify import Notifier
from contracts.jobs import Channel
from contracts.maintenance import RefreshCause, RefreshRequested
from services.maintenance import schedule, sql
from services.maintenance.clock import request_refresh
from services.maintenance.sql import LastRefresh

POLL_S = 0.25
# Changes often come together, for example attendance and the end of a drive. After this pause, one refresh shows both.
SETTLE_S = 0.3
MIN_PAUSE_S = 1.0
PAUSE_PER_DURATION = 50

log = structlog.get_logger()


def pause_s(last_duration_s: float, max_pause_s: float) -> float:
    """Return the pause after a refresh: ``PAUSE_PER_DURATION`` times its duration, within the limits."""
    return min(max(MIN_PAUSE_S, PAUSE_PER_DURATION * last_duration_s), max_pause_s)


class ChangeWatch:
    """Watches for changes. Every replica does so, but only one of them requests the refresh.

    ``max_pause_s``: the longest pause between two refreshes. ``wake``: wakes the worker in this process.
    """

    def __init__(self, database: Database, notifier: Notifier, wake: WakeWorker, *, max_pause_s: float) -> None:
        self._database = database
        self._notifier = notifier
        self._wake = wake
        self._max_pause_s = max_pause_s
        # The last refresh, and a snapshot up to which nothing has changed since. Older events are not checked again.
        self._unchanged: tuple[UUID | None, str] | None = None

    async def run(self) -> None:
        """Check every ``POLL_S`` seconds until cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, Contended) as error:
                log.warning("change_watch.interrupted", reason=str(error))
            await asyncio.sleep(POLL_S)

    async def look(self) -> UUID | None:
        """Request a refresh if the views' data has changed and the pause is over. Return its job."""
        async with self._database.connection() as connection:
            last = await sql.last_refresh(connection)
            if last.under_way or last.since_s < pause_s(last.duration_s, self._max_pause_s):
                return None
            if not await self._has_changed(connection, last):
                return None
            minute = int((await sql.now(connection)).timestamp() // 60)
        await asyncio.sleep(SETTLE_S)
        return await self._request(schedule.change_id(last.run_id, minute))

    async def _has_changed(self, connection: Connection, last: LastRefresh) -> bool:
        same_run = self._unchanged is not None and self._unchanged[0] == last.run_id
        snapshot = self._unchanged[1] if same_run and self._unchanged is not None else last.snapshot
        changed, current = await sql.changed_since(connection, snapshot)
        if not changed:
            self._unchanged = last.run_id, current
        return changed

    async def _request(self, id_: UUID) -> UUID | None:
        try:
            async with self._database.transaction() as connection:
                appended = await request_refresh(
                    connection, RefreshRequested(refresh_id=id_, cause=RefreshCause.CHANGE)
                )
        except Conflict:
            return None  # another replica requested it at the same moment
        if appended.duplicate:
            return None
        log.info("refresh.requested", job_id=str(id_), cause=RefreshCause.CHANGE)
        self._wake(id_, Channel.POLL)
        self._notifier.notify(notify.OUTBOX)
        return id_
