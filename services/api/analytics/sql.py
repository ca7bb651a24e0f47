"""Every statement about the dashboards' figures. They read materialized views only: a row for each drive at most.

``$1``: the moment that the views show, ``$2``: days before it, in which the drive was created, ``$3``: one drive alone.
A window that ends at the views' own moment makes an answer depend on the views alone, so that it can be cached by them.
"""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from chassis.database import Connection

AS_OF = "SELECT min(refreshed_at) FROM view_refresh"

WITHIN = "created_at >= $1::timestamptz - make_interval(days => $2) AND ($3::integer IS NULL OR drive_id = $3)"

# The frontend's card of posted drives has always counted those that are pending, too.
SUMMARY = f"""
SELECT count(*) AS total_drives, count(*) FILTER (WHERE status IN ('pending', 'posted')) AS posted,
       count(*) FILTER (WHERE status = 'attending') AS ongoing, count(*) FILTER (WHERE status = 'finished') AS finished,
       (SELECT coalesce(sum(registrations), 0) FROM registrations_per_drive WHERE {WITHIN})::bigint AS registrations,
       (SELECT coalesce(round(100.0 * sum(present) / sum(present + absent)), 0)
          FROM attendance_trend WHERE {WITHIN})::integer AS attendance_rate_percent
  FROM drives_over_time WHERE {WITHIN}
"""  # noqa: S608

DRIVES_OVER_TIME = f"""
SELECT to_char(day, 'YYYY-MM-DD') AS day, count(*) AS count
  FROM drives_over_time WHERE {WITHIN} GROUP BY drives_over_time.day ORDER BY drives_over_time.day
"""  # noqa: S608

REGISTRATIONS = f"""
SELECT drive_id, company_name, job_title, registrations
  FROM registrations_per_drive WHERE {WITHIN} ORDER BY registrations DESC, created_at DESC, drive_id DESC LIMIT $4
"""  # noqa: S608

ATTENDANCE = f"""
SELECT to_char(day, 'YYYY-MM-DD') AS day, round(100.0 * sum(present) / sum(present + absent))::integer AS percent
  FROM attendance_trend WHERE {WITHIN} GROUP BY attendance_trend.day ORDER BY attendance_trend.day
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Window:
    """Drives created in the ``days`` before the views were refreshed; ``drive_id``: that one alone."""

    days: int
    drive_id: int | None


async def as_of(connection: Connection) -> datetime:
    """The moment that the views show."""
    moment: datetime = await connection.fetchval(AS_OF)
    return moment


async def summary(connection: Connection, moment: datetime, window: Window) -> asyncpg.Record:
    row = await connection.fetchrow(SUMMARY, moment, window.days, window.drive_id)
    assert row is not None
    return row


async def drives_over_time(connection: Connection, moment: datetime, window: Window) -> list[asyncpg.Record]:
    """Days (UTC) with drives, oldest first."""
    return await connection.fetch(DRIVES_OVER_TIME, moment, window.days, window.drive_id)


async def registrations(connection: Connection, moment: datetime, window: Window, *, most: int) -> list[asyncpg.Record]:
    """Drives with the most registrations first, those without any last."""
    return await connection.fetch(REGISTRATIONS, moment, window.days, window.drive_id, most)


async def attendance(connection: Connection, moment: datetime, window: Window) -> list[asyncpg.Record]:
    """Days (UTC) on which drives were created that have marks now, oldest first."""
    return await connection.fetch(ATTENDANCE, moment, window.days, window.drive_id)
