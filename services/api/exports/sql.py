"""Statements about exports. Plans: the primary key for one export; exports_of_user or exports_newest for the list."""

from uuid import UUID

import asyncpg

from chassis.errors import PageGone
from chassis.postgres.database import Connection

COLUMNS = """x.export_id, x.kind, x.format, x.drive_id, x.columns, x.byte_order_mark, x.delimiter, x.requested_by,
       x.requested_at, x.state, x.path, x.rows, x.size_bytes, x.sha256, x.snapshot, x.ended_at,
       least(x.expires_at, w.withdrawn_at) AS expires_at, x.reason,
       j.state AS job_state, j.progress"""
# A withdrawn file, which may show an erased person, expires at its withdrawal.
FROM = """exports x LEFT JOIN es.job j ON j.id = x.export_id
  LEFT JOIN withdrawn_exports w ON w.export_id = x.export_id AND w.path = x.path"""
GET = f"SELECT {COLUMNS} FROM {FROM} WHERE x.export_id = $1"  # noqa: S608
# Keyset pagination: $2 is the last id of the previous page.
LIST = f"""
SELECT {COLUMNS} FROM {FROM}
 WHERE ($1::integer IS NULL OR x.requested_by = $1)
   AND ($2::uuid IS NULL OR
        (x.requested_at, x.export_id) < (SELECT requested_at, export_id FROM exports WHERE export_id = $2))
 ORDER BY x.requested_at DESC, x.export_id DESC LIMIT $3
"""  # noqa: S608
DRIVE_STATUS = "SELECT status FROM drives WHERE drive_id = $1"


async def get(connection: Connection, export_id: UUID) -> asyncpg.Record | None:
    return await connection.fetchrow(GET, export_id)


async def newest(
    connection: Connection, *, requested_by: int | None, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """Return exports, newest first. ``requested_by=None``: all. Raises ``PageGone`` if ``before`` was deleted."""
    rows = await connection.fetch(LIST, requested_by, before, limit)
    if before is not None and not rows and await get(connection, before) is None:
        raise PageGone
    return rows


async def drive_status(connection: Connection, drive_id: int) -> str | None:
    status: str | None = await connection.fetchval(DRIVE_STATUS, drive_id)
    return status
