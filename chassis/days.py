"""Days in the campus's time zone: which day a moment belongs to, and when a day begins."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone ``name``. Raises ``ValueError`` for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone. Use a name like Asia/Kolkata or UTC") from error


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """Return the day of ``moment`` in ``zone``."""
    return moment.astimezone(zone).date()


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of ``day`` in ``zone``, in UTC. Also correct if clocks change at midnight.

    Raises ``OverflowError`` if the moment is outside the range of ``datetime``.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)
