"""Statements that list jobs for users."""

from uuid import UUID

import asyncpg

from chassis.errors import PageGone
from chassis.jobs import queue
from chassis.jobs.queue import COLUMNS
from chassis.postgres.database import Connection

# Index scan on job_newest_requested_by, or on job_newest for all users. Both are ordered by -seq.
# $3: the last id of the previous page.
LIST = f"""
SELECT {COLUMNS} FROM es.job
 WHERE ($1::integer IS NULL OR requested_by = $1)
   AND ($2::text IS NULL OR state = $2)
   AND ($3::uuid IS NULL OR -seq > (SELECT -seq FROM es.job WHERE id = $3))
   AND ($5::text IS NULL OR kind = $5)
   AND ($6::text IS NULL OR subject = $6)
 ORDER BY -seq LIMIT $4
"""  # noqa: S608


async def newest(
    connection: Connection,
    *,
    requested_by: int | None,
    state: str | None,
    before: UUID | None,
    limit: int,
    kind: str | None = None,
    subject: str | None = None,
) -> list[asyncpg.Record]:
    """Return jobs, newest first. ``requested_by=None``: all. Raises ``PageGone`` if the job ``before`` was deleted."""
    rows = await connection.fetch(LIST, requested_by, state, before, limit, kind, subject)
    if before is not None and not rows and await queue.read(connection, before) is None:
        raise PageGone
    return rows
