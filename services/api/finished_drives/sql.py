"""Statements about finished drives. They read the index ``finished_drives_newest`` in order."""

import asyncpg

from chassis.postgres.database import Connection
from services.api.finished_drives.period import Period

# $1 and $2: the period; $3: the limit.
SOURCE = """
  FROM finished_drives f LEFT JOIN job_domains j USING (domain_id)
 WHERE ($1::timestamptz IS NULL OR f.finished_date >= $1) AND ($2::timestamptz IS NULL OR f.finished_date < $2)
 ORDER BY f.finished_date DESC, f.drive_id DESC LIMIT $3::bigint
"""
LIST = f"""
SELECT f.drive_id, f.finished_date, f.total_registered, f.total_present, f.total_absent, f.company_name, f.job_title,
       f.interview_date, f.pdf_path, f.domain_id, j.domain_name{SOURCE}
"""


async def finished(connection: Connection, period: Period, limit: int | None = None) -> list[asyncpg.Record]:
    """Return finished drives, newest first."""
    return await connection.fetch(LIST, period.begins, period.ends, limit)
