"""Every statement about finished drives: as few as drives are, read along ``finished_drives_newest``."""

import asyncpg

from chassis.database import Connection
from services.api.finished_drives.period import Period

# Days are those of UTC, and the last one belongs to the period.
LIST = """
SELECT f.drive_id, f.finished_date, f.total_registered, f.total_present, f.total_absent, f.company_name, f.job_title,
       f.interview_date, f.pdf_path, f.domain_id, j.domain_name
  FROM finished_drives f LEFT JOIN job_domains j USING (domain_id)
 WHERE ($1::integer IS NULL OR f.finished_date >= now() - make_interval(months => $1))
   AND ($2::date IS NULL OR f.finished_date >= $2::timestamp AT TIME ZONE 'UTC')
   AND ($3::date IS NULL OR f.finished_date < ($3 + 1)::timestamp AT TIME ZONE 'UTC')
 ORDER BY f.finished_date DESC, f.drive_id DESC LIMIT $4
"""


async def finished(connection: Connection, period: Period, limit: int | None = None) -> list[asyncpg.Record]:
    """Newest first."""
    return await connection.fetch(LIST, period.months, period.first_day, period.last_day, limit)
