"""Compute when the views are refreshed. Pure functions of times with a time zone. Results are in UTC.

A cron expression has the five fields of Debian's cron, or six fields with seconds first. When clocks change for
daylight saving, it behaves like Debian's cron:

- A skipped time runs at the end of the gap, such as ``30 2 * * *`` when 02:00 becomes 03:00.
- A time that occurs twice runs only the first time.
- An expression with ``*`` as minute or hour follows real time: ``0 * * * *`` runs in each of the 23 or 25 hours.
- An expression with six fields also follows real time: a time that occurs twice runs twice, a skipped time not at all.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from contracts.maintenance import RefreshCause

NAMESPACE = UUID("7c0f6f5e-7b0c-5d0e-8f55-3b5d1c1f6a02")
# A slot counts as missed when no replica has recorded it for this long. Only the newest missed slot is recorded.
MISSED_AFTER = timedelta(seconds=10)
# A recorded slot that is further in the future than this was recorded while the clock was ahead.
AHEAD_AFTER = timedelta(seconds=5)

FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31 or L",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT",
}
# How far back to search for the newest slot. The last window is long enough for each 29 February that is a Monday.
WINDOWS = [timedelta(seconds=2), timedelta(hours=2), timedelta(days=2)]
WINDOWS += [timedelta(days=days) for days in (62, 800, 3_700, 18_300)]


class Slots(Protocol):
    """Recurring moments."""

    def newest(self, now: datetime) -> datetime:
        """Return the last slot that is not after ``now``."""

    def after(self, moment: datetime) -> datetime:
        """Return the first slot after ``moment``."""


class Cron:
    """The slots of a cron ``expression`` in ``zone``. Raises ``ValueError`` naming the invalid field."""

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        self._expression = expression
        self._zone = zone
        try:
            next(self._from(datetime(2000, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise ValueError(_where(expression, str(error))) from error
        except StopIteration:
            raise ValueError(f"{expression!r} never occurs") from None

    def newest(self, now: datetime) -> datetime:
        # Search forwards, because cronsim's backward search gives other results in an hour that occurs twice.
        for window in WINDOWS:
            newest = None
            for slot in self._from(now - window):
                if slot > now:
                    break
                newest = slot
            if newest is not None:
                return newest
        raise AssertionError(f"no slot of {self._expression!r} in fifty years")

    def after(self, moment: datetime) -> datetime:
        return next(slot for slot in self._from(moment) if slot > moment)

    def _from(self, moment: datetime) -> Iterator[datetime]:
        for slot in CronSim(self._expression, moment.astimezone(self._zone)):
            yield slot.astimezone(UTC)


def due(slots: Slots, done: datetime | None, now: datetime) -> datetime | None:
    """Return the slot to record at ``now``, or ``None``. ``done``: the last slot that this process handled.

    A process that starts records the newest slot, because every replica may have been down when it was due. Later, it
    records each slot in order. If it is late by more than ``MISSED_AFTER``, it records only the newest missed slot.
    """
    if done is None:
        return slots.newest(now)
    following = slots.after(done)
    if following > now:
        return None
    return following if now - following <= MISSED_AFTER else slots.newest(now)


def is_ahead(done: datetime, now: datetime) -> bool:
    """Return whether the recorded slot ``done`` is in the future. Then the clock was ahead when it was recorded."""
    return done - now > AHEAD_AFTER


def refresh_id(cause: RefreshCause, slot: datetime, *, again: bool = False) -> UUID:
    """Return the id of the refresh of ``slot``, which is the same on every replica and for every time zone of ``slot``.

    ``again``: the slot was recorded early, while the clock was ahead.
    """
    return uuid5(NAMESPACE, f"{cause}/{slot.astimezone(UTC).isoformat()}" + ("/again" if again else ""))


def change_id(run_id: UUID | None, minute: int) -> UUID:
    """Return the id of the refresh that a change after the refresh ``run_id`` requests. All replicas compute the same.

    ``minute``: the minute of the database's clock. So a cancelled request can be repeated in the next minute.
    """
    return uuid5(NAMESPACE, f"{RefreshCause.CHANGE}/{run_id}/{minute}")


def _where(expression: str, reason: str) -> str:
    parts = expression.split()
    if len(parts) not in (5, 6):
        return f"{expression!r} has {len(parts)} fields, and needs five: minute hour day-of-month month day-of-week"
    fields = list(FIELDS)[-len(parts) :]
    field = reason.removeprefix("Bad ")
    position = fields.index(field)
    return f"in {expression!r} field {position + 1}, the {field}, is {parts[position]!r}: it takes {FIELDS[field]}"
