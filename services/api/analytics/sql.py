"""Statements for the dashboards' figures. They read materialized views only, which have at most one row per drive.

``$1``: start of the window's first day; ``$2``: one drive, or null; ``$3``: the campus's time zone.
The window ends at the moment of the views' refresh. So a response depends only on the views, and can be cached until
their next refresh.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg

from chassis.days import day_of, start_of
from chassis.postgres.database import Connection

AS_OF = "SELECT min(refreshed_at) FROM view_refresh"

WITHIN = "created_at >= $1::timestamptz AND ($2::integer IS NULL OR drive_id = $2)"
DAY = "(created_at AT TIME ZONE $3)::date"

# The existing frontend's card of posted drives includes pending drives.
SUMMARY = f"""
SELECT count(*) AS total_drives, count(*) FILTER (WHERE status IN ('pending', 'posted')) AS posted,
       count(*) FILTER (WHERE status = 'attending') AS ongoing, count(*) FILTER (WHERE status = 'finished') AS finished,
       (SELECT coalesce(sum(registrations), 0) FROM registrations_per_drive WHERE {WITHIN})::bigint AS registrations,
       (SELECT coalesce(round(100.0 * sum(present) / sum(present + absent)), 0)
          FROM attendance_trend WHERE {WITHIN})::integer AS attendance_rate_percent
  FROM drives_over_time WHERE {WITHIN}
"""  # noqa: S608

DRIVES_OVER_TIME = f"""
SELECT to_char({DAY}, 'YYYY-MM-DD') AS day, count(*) AS count
  FROM drives_over_time WHERE {WITHIN} GROUP BY {DAY} ORDER BY {DAY}
"""  # noqa: S608

REGISTRATIONS = f"""
SELECT drive_id, company_name, job_title, registrations
  FROM registrations_per_drive WHERE {WITHIN} ORDER BY registrations DESC, created_at DESC, drive_id DESC LIMIT $3
"""  # noqa: S608

ATTENDANCE = f"""
SELECT to_char({DAY}, 'YYYY-MM-DD') AS day, round(100.0 * sum(present) / sum(present + absent))::integer AS percent
  FROM attendance_trend WHERE {WITHIN} GROUP BY {DAY} ORDER BY {DAY}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Window:
    """Drives created on the day of the views' refresh or in the ``days`` before it. ``drive_id``: only that drive."""

    days: int
    drive_id: int | None
    zone: ZoneInfo

    def since(self, moment: datetime) -> datetime:
        """Return the start of the window that ends at ``moment``."""
        return start_of(day_of(moment, self.zone) - timedelta(days=self.days), self.zone)


async def as_of(connection: Connection) -> datetime:
    """Return the moment that the views show."""
    moment: datetime = await connection.fetchval(AS_OF)
    return moment


async def summary(connection: Connection, moment: datetime, window: Window) -> asyncpg.Record:
    row = await connection.fetchrow(SUMMARY, window.since(moment), window.drive_id)
    assert row is not None
    return row


async def drives_over_time(connection: Connection, moment: datetime, window: Window) -> list[asyncpg.Record]:
    """Return the campus days with drives, oldest first."""
    return await connection.fetch(DRIVES_OVER_TIME, window.since(moment), window.drive_id, window.zone.key)


async def registrations(
    connection: Connection, moment: datetime, window: Window, *, limit: int
) -> list[asyncpg.Record]:
    """Return the drives with the most registrations first, and drives without registrations last."""
    return await connection.fetch(REGISTRATIONS, window.since(moment), window.drive_id, limit)


async def attendance(connection: Connection, moment: datetime, window: Window) -> list[asyncpg.Record]:
    """Return the campus days on which drives with attendance marks were created, oldest first."""
    return await connection.fetch(ATTENDANCE, window.since(moment), window.drive_id, window.zone.key)
