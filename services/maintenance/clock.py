"""Records one RefreshRequested for each slot, however many replicas do.

The event's id is made from the slot, so that the second append of a slot changes nothing, long after its job has
expired, too: events never do. The time is the database's, the same for all; nothing else has to be remembered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from chassis import event_store, notify
from chassis.database import Connection, Database
from chassis.errors import Conflict, Contended, Unavailable
from chassis.event_store import Cause
from chassis.notify import Notifier
from chassis.service import Background
from contracts.maintenance import RefreshCause, RefreshRequested
from services.maintenance import schedule, sql
from services.maintenance.schedule import Cron, Every, Slots
from services.maintenance.settings import MaintenanceSettings

# Clocks are set, machines are suspended: nobody sleeps for longer without looking.
LOOK_EVERY_S = 30.0
RETRY_S = 0.5

Wanted = Callable[[Connection], Awaitable[bool]]

log = structlog.get_logger()


async def always(_connection: Connection) -> bool:
    return True


class Clock:
    """Asks for a refresh in each of ``slots`` in which it is ``wanted``."""

    def __init__(
        self, database: Database, notifier: Notifier, slots: Slots, cause: RefreshCause, wanted: Wanted = always
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._slots = slots
        self._cause = cause
        self._wanted = wanted
        self._done: datetime | None = None

    async def run(self) -> None:
        """Record slots as they come until cancelled."""
        while True:
            try:
                pause_s = await self.once()
            except (Unavailable, Contended) as error:
                log.warning("clock.interrupted", cause=self._cause, reason=str(error))
                pause_s = RETRY_S
            await asyncio.sleep(pause_s)

    async def once(self) -> float:
        """Look after the slot that is due, if one is. Returns the seconds until there may be another."""
        async with self._database.connection() as connection:
            now = await sql.now(connection)
        slot = schedule.due(self._slots, self._done, now)
        if slot is not None:
            await self._look_after(slot)
            self._done = slot
        assert self._done is not None
        return min(max((self._slots.after(self._done) - now).total_seconds(), 0), LOOK_EVERY_S)

    async def _look_after(self, slot: datetime) -> None:
        id_ = schedule.refresh_id(self._cause, slot)
        event = RefreshRequested(refresh_id=id_, cause=self._cause, slot=slot)
        try:
            async with self._database.transaction() as connection:
                if not await self._wanted(connection):
                    return
                appended = await event_store.append(
                    connection,
                    f"refresh-{id_}",
                    [event],
                    Cause(source="maintenance", correlation_id=id_),
                    expected_version=0,
                    new_id=lambda _: id_,
                )
        except Conflict:
            return  # another replica, at the same moment
        if not appended.duplicate:
            self._notifier.notify(notify.OUTBOX)
            log.info("refresh.requested", job_id=str(id_), cause=self._cause, slot=slot.isoformat())


def clocks(settings: MaintenanceSettings, database: Database, notifier: Notifier) -> Sequence[Background]:
    """The schedule's, and that of changed data if there is to be one."""
    cron = Cron(settings.materialized_view_refresh_interval, settings.zone)
    made = [Clock(database, notifier, cron, RefreshCause.SCHEDULE).run]
    if settings.refresh_after_change_s:
        every = Every(settings.refresh_after_change_s)
        made.append(Clock(database, notifier, every, RefreshCause.CHANGE, sql.has_changed).run)
    return made
