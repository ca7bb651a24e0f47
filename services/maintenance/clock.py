"""Record one RefreshRequested event for each slot of the schedule, regardless of the number of replicas.

The event's id is computed from the slot, so a second append for a slot changes nothing. This is also true after the job
has been deleted, because events are never deleted. All replicas use the database's clock.
"""

import asyncio
from datetime import datetime

import structlog

from chassis.errors import Conflict, Contended, Unavailable
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Appended, Cause
from chassis.messaging.subscribers import WakeWorker
from chassis.postgres import notify
from chassis.postgres.database import Connection, Database
from chassis.postgres.notify import Notifier
from contracts.jobs import Channel
from contracts.maintenance import RefreshCause, RefreshRequested
from services.maintenance import schedule, sql
from services.maintenance.schedule import Slots

# The longest sleep. A longer one could miss a slot, because clocks are adjusted and machines are suspended.
LOOK_EVERY_S = 30.0
RETRY_S = 0.5

log = structlog.get_logger()


class Clock:
    """Requests a refresh in each of ``slots``. ``wake``: wakes the worker in this process."""

    def __init__(self, database: Database, notifier: Notifier, slots: Slots, wake: WakeWorker) -> None:
        self._database = database
        self._notifier = notifier
        self._wake = wake
        self._slots = slots
        self._done: datetime | None = None
        # Slots up to this one were recorded early, while the clock was ahead. Each is recorded again when it is due.
        self._ahead_until: datetime | None = None

    async def run(self) -> None:
        """Record slots as they come until cancelled."""
        while True:
            try:
                pause_s = await self.once()
            except (Unavailable, Contended) as error:
                log.warning("clock.interrupted", reason=str(error))
                pause_s = RETRY_S
            await asyncio.sleep(pause_s)

    async def once(self) -> float:
        """Record the slot that is due, if any. Return the seconds until the next check."""
        async with self._database.connection() as connection:
            now = await sql.now(connection)
        if self._done is not None and schedule.is_ahead(self._done, now):
            log.warning("clock.set_back", last_slot=self._done.isoformat(), now=now.isoformat())
            self._ahead_until, self._done = self._done, self._slots.newest(now)
        slot = schedule.due(self._slots, self._done, now)
        if slot is not None:
            await self._record_slot(slot)
            self._done = slot
        assert self._done is not None
        return min(max((self._slots.after(self._done) - now).total_seconds(), 0), LOOK_EVERY_S)

    async def _record_slot(self, slot: datetime) -> None:
        again = self._ahead_until is not None and slot <= self._ahead_until
        id_ = schedule.refresh_id(RefreshCause.SCHEDULE, slot, again=again)
        event = RefreshRequested(refresh_id=id_, cause=RefreshCause.SCHEDULE, slot=slot)
        try:
            async with self._database.transaction() as connection:
                appended = await request_refresh(connection, event)
        except Conflict:
            return  # another replica recorded it at the same moment
        if not appended.duplicate:
            self._wake(id_, Channel.POLL)
            self._notifier.notify(notify.OUTBOX)
            log.info("refresh.requested", job_id=str(id_), cause=event.cause, slot=slot.isoformat())


async def request_refresh(connection: Connection, event: RefreshRequested) -> Appended:
    """Append ``event`` in the caller's transaction. Its ``refresh_id`` becomes the job's id.

    Raises ``Conflict`` when another replica appends it at the same moment.
    """
    id_ = event.refresh_id
    cause = Cause(source="maintenance", correlation_id=id_)
    return await event_store.append(
        connection, f"refresh-{id_}", [event], cause, expected_version=0, new_id=lambda _: id_
    )
