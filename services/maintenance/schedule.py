"""Compute when the views are refreshed. Pure functions of time-zone-aware moments; results are in UTC.

A cron expression has the five fields of Debian's cron, or six with seconds first. When clocks change, it behaves like
Debian's cron. A time that is skipped (``30 2 * * *`` where 02:00 becomes 03:00) runs at the end of the gap; a time that
occurs twice runs the first time. An expression with ``*`` as minute or hour follows real time: ``0 * * * *`` runs in
each of the 23 or 25 hours of such a day. So does an expression with six fields: it runs twice when its time occurs
twice, and not at all when it is skipped.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from contracts.maintenance import RefreshCause

NAMESPACE = UUID("7c0f6f5e-7b0c-5d0e-8f55-3b5d1c1f6a02")
# A slot that no replica recorded for so long was missed. Of missed slots, only the newest is recorded.
MISSED_AFTER = timedelta(seconds=10)
# A recorded slot further ahead than this was recorded while the clock was ahead.
AHEAD_AFTER = timedelta(seconds=5)

FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31 or L",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT",
}
# How far back the newest slot is searched: from a slot each second to one on each 29 February that is a Monday.
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
        # Searched forwards, because cronsim's backward search differs within an hour that occurs twice.
        for window in WINDOWS:
            found = None
            for slot in self._from(now - window):
                if slot > now:
                    break
                found = slot
            if found is not None:
                return found
        raise AssertionError(f"no slot of {self._expression!r} in fifty years")

    def after(self, moment: datetime) -> datetime:
        return next(slot for slot in self._from(moment) if slot > moment)

    def _from(self, moment: datetime) -> Iterator[datetime]:
        for slot in CronSim(self._expression, moment.astimezone(self._zone)):
            yield slot.astimezone(UTC)


def due(slots: Slots, done: datetime | None, now: datetime) -> datetime | None:
    """Return the slot to record at ``now``, or ``None``. ``done``: the last slot that this process handled.

    A process that starts records the newest slot, in case every replica was down when it was due. A process that lags
    records each slot in order; if it lags by more than ``MISSED_AFTER``, only the newest of the missed slots.
    """
    if done is None:
        return slots.newest(now)
    following = slots.after(done)
    if following > now:
        return None
    return following if now - following <= MISSED_AFTER else slots.newest(now)


def is_ahead(done: datetime, now: datetime) -> bool:
    """Return whether the recorded slot ``done`` lies in the future, because the clock was ahead."""
    return done - now > AHEAD_AFTER


def refresh_id(cause: RefreshCause, slot: datetime, *, again: bool = False) -> UUID:
    """Return the id of the refresh of ``slot``: the same on every replica, in every notation of the slot.

    ``again``: the slot was recorded early, while the clock was ahead.
    """
    return uuid5(NAMESPACE, f"{cause}/{slot.astimezone(UTC).isoformat()}" + ("/again" if again else ""))


def change_id(run_id: UUID | None, minute: int) -> UUID:
    """Return the id of the refresh that a change requests after the refresh ``run_id``: the same on every replica.

    ``minute``: of the database's clock. A cancelled request is repeated in the next minute.
    """
    return uuid5(NAMESPACE, f"{RefreshCause.CHANGE}/{run_id}/{minute}")


def _where(expression: str, reason: str) -> str:
    parts = expression.split()
    if len(parts) not in (5, 6):
        return f"{expression!r} has {len(parts)} fields, and needs five: minute hour day-of-month month day-of-week"
    named = list(FIELDS)[-len(parts) :]
    field = reason.removeprefix("Bad ")
    position = named.index(field)
    return f"in {expression!r} field {position + 1}, the {field}, is {parts[position]!r}: it takes {FIELDS[field]}"
