"""Statements that find and delete expired data, in batches.

Two replicas can run these statements at the same time, because each skips rows that the other has locked.

Plans (EXPLAIN ANALYZE, 500,000 keys, 500,000 jobs, 100,000 exports, 1,100,000 events, 500,000 read marks). No statement
scans a whole table. A batch of 1,000 rows takes:

- keys: 105 ms with a cold cache; idempotency_keys_oldest, and a probe of job_pkey for each key
- jobs: 32 ms; job_ended
- expired exports: 0.05 ms; exports_expiring
- files of exports: 21 ms; event_stream_version
- PDFs: 119 ms with 5,000 drives; event_pdf_path
- read marks: 25 ms; notification_reads_pkey and event_pkey
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.postgres.database import Connection
from contracts.drives import DriveCreated, DriveDeleted, DriveRevised
from contracts.exports import ExportCompleted, ExportExpired
from contracts.files import SERVED_BELOW

# Keys of commands in progress are not visible yet. A key whose event is in the log needs no row: the event's id is
# computed from the key, so the log refuses a repetition. Any other key keeps its row, without the response.
EXPIRE_KEYS = """
WITH due AS MATERIALIZED (
    SELECT user_id, route, key, EXISTS (SELECT FROM es.event e WHERE e.event_id = k.event_id) AS in_log
      FROM idempotency_keys k
     WHERE created_at < $1 AND NOT expired
       AND NOT EXISTS (SELECT FROM es.job j WHERE j.id = (k.committed ->> 'job_id')::uuid AND j.finished_at IS NULL)
     ORDER BY created_at LIMIT $2 FOR UPDATE OF k SKIP LOCKED
), gone AS (
    DELETE FROM idempotency_keys k USING due d
     WHERE (k.user_id, k.route, k.key) = (d.user_id, d.route, d.key) AND d.in_log
    RETURNING true
), emptied AS (
    UPDATE idempotency_keys k SET expired = true, fingerprint = '', committed = 'null', answer = NULL FROM due d
     WHERE (k.user_id, k.route, k.key) = (d.user_id, d.route, d.key) AND NOT d.in_log
    RETURNING true
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM emptied)
"""
# Dead letters are kept until they are redriven or discarded. `placewire verify` reads from `expiry` what was deleted.
DELETE_JOBS = """
WITH due AS MATERIALIZED (
    SELECT id FROM es.job WHERE finished_at < $1 AND NOT dead_lettered
     ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM es.job j USING due d WHERE j.id = d.id RETURNING j.queued_at
), noted AS (
    INSERT INTO expiry AS x (what, until) SELECT 'jobs', max(queued_at) FROM gone HAVING count(*) > 0
    ON CONFLICT (what) DO UPDATE SET until = greatest(x.until, excluded.until)
)
SELECT count(*) FROM gone
"""

DELETE_LINKS = """
WITH due AS MATERIALIZED (
    SELECT user_id FROM password_links WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM password_links l USING due d WHERE l.user_id = d.user_id RETURNING true
)
SELECT count(*) FROM gone
"""

# Deletes whole months. The function runs as the owner, because the service's role cannot create or drop partitions.
MAINTAIN_ACCESS_LOG = "SELECT maintain_access_log($1, $2)"

# Keyset pagination: $2 and $3 are the last row of the previous page.
EXPIRED_EXPORTS = """
SELECT export_id, expires_at FROM exports
 WHERE state = 'completed' AND expires_at <= $1 AND (expires_at, export_id) > ($2, $3)
 ORDER BY expires_at, export_id LIMIT $4
"""
# Exports whose file may show an erased person. They expire at once.
WITHDRAWN_EXPORTS = "SELECT export_id FROM withdrawn_exports WHERE export_id > $1 ORDER BY export_id LIMIT $2"
FORGET_WITHDRAWN = """
DELETE FROM withdrawn_exports w
 WHERE export_id = $1
   AND NOT EXISTS (SELECT FROM exports x WHERE x.export_id = w.export_id AND x.state = 'completed' AND x.path = w.path)
"""
LOCK_STREAM = "SELECT true FROM es.stream WHERE stream_id = $1 FOR UPDATE SKIP LOCKED"

# A file of an export is orphaned if the export's job has ended and its last completion has another file or has expired.
ORPHANED_EXPORTS = f"""
SELECT f.path FROM unnest($1::text[], $2::uuid[]) AS f (path, export_id)
 WHERE NOT EXISTS (SELECT FROM es.job j WHERE j.id = f.export_id AND j.finished_at IS NULL)
   AND NOT EXISTS (
     SELECT FROM es.event c
      WHERE c.stream_id = 'export-' || f.export_id AND c.type = '{ExportCompleted.TYPE}' AND c.data ->> 'path' = f.path
        AND NOT EXISTS (
            SELECT FROM es.event later WHERE later.stream_id = c.stream_id AND later.version > c.version
               AND later.type IN ('{ExportCompleted.TYPE}', '{ExportExpired.TYPE}')))
"""  # noqa: S608
# A PDF is orphaned if it is not in the newest posting of any existing drive.
ORPHANED_PDFS = f"""
SELECT f.path FROM unnest($1::text[]) AS f (path)
 WHERE NOT EXISTS (
     SELECT FROM es.event c
      WHERE c.type IN ('{DriveCreated.TYPE}', '{DriveRevised.TYPE}')
        AND c.data #>> '{{posting,pdf_path}}' = '{SERVED_BELOW}' || f.path
        AND NOT EXISTS (
            SELECT FROM es.event later WHERE later.stream_id = c.stream_id AND later.version > c.version
               AND later.type IN ('{DriveRevised.TYPE}', '{DriveDeleted.TYPE}')
               AND later.data #>> '{{posting,pdf_path}}' IS DISTINCT FROM c.data #>> '{{posting,pdf_path}}'))
"""  # noqa: S608

# A notification's id is computed from its event's position. Marks are deleted only if the drive was deleted. Marks of
# notifications that a damaged table has lost are kept, and are valid again after a rebuild.
DELETE_READ_MARKS = f"""
WITH page AS MATERIALIZED (
    SELECT user_id, notification_id FROM notification_reads
     WHERE (user_id, notification_id) > ($1, $2) ORDER BY user_id, notification_id LIMIT $3
), gone AS (
    DELETE FROM notification_reads r USING page p
     WHERE (r.user_id, r.notification_id) = (p.user_id, p.notification_id)
       AND NOT EXISTS (SELECT FROM notifications n WHERE n.notification_id = p.notification_id)
       AND EXISTS (
           SELECT FROM es.event cause JOIN es.event deleted
               ON deleted.stream_id = 'drive-' || (cause.data ->> 'drive_id') AND deleted.type = '{DriveDeleted.TYPE}'
            WHERE cause.position = p.notification_id / 8)
    RETURNING true
)
SELECT user_id, notification_id, (SELECT count(*) FROM gone) AS gone
  FROM page ORDER BY user_id DESC, notification_id DESC LIMIT 1
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class MarksPage:
    """The result for one page of marks. ``last``: the last mark of the page. ``deleted``: how many were deleted."""

    last: tuple[int, int]
    deleted: int


async def expire_keys(connection: Connection, before: datetime, limit: int) -> int:
    """Delete or empty up to ``limit`` keys created before ``before``. Return how many."""
    return int(await connection.fetchval(EXPIRE_KEYS, before, limit))


async def delete_jobs(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` jobs that ended before ``before``. Return how many."""
    return int(await connection.fetchval(DELETE_JOBS, before, limit))


async def delete_links(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` links that expired before ``before``. Return how many."""
    return int(await connection.fetchval(DELETE_LINKS, before, limit))


async def maintain_access_log(connection: Connection, now: datetime, kept: timedelta) -> int:
    """Create the partitions of the next months, and drop partitions older than ``kept``. Return the number of rows.

    Raises ``Contended`` when a reader locks the table for too long.
    """
    return int(await connection.fetchval(MAINTAIN_ACCESS_LOG, now, kept))


async def expired_exports(
    connection: Connection, before: datetime, after: tuple[datetime, UUID], limit: int
) -> list[tuple[datetime, UUID]]:
    """Return the next page of expired exports, as time of expiry and id, oldest first. ``after``: the last one seen."""
    rows = await connection.fetch(EXPIRED_EXPORTS, before, *after, limit)
    return [(row["expires_at"], row["export_id"]) for row in rows]


async def withdrawn_exports(connection: Connection, after: UUID, limit: int) -> list[UUID]:
    """Return the next page of ids of exports whose files are withdrawn. ``after``: the last id seen."""
    return [row["export_id"] for row in await connection.fetch(WITHDRAWN_EXPORTS, after, limit)]


async def forget_withdrawn(connection: Connection, export_id: UUID) -> None:
    """Delete the row that asks for a file's withdrawal, if the export no longer refers to that file."""
    await connection.execute(FORGET_WITHDRAWN, export_id)


async def lock_stream(connection: Connection, stream: str) -> bool:
    """Lock ``stream`` against appends until the transaction ends. Return false when another session appends to it."""
    return bool(await connection.fetchval(LOCK_STREAM, stream))


async def orphaned_exports(connection: Connection, files: Sequence[tuple[str, UUID]]) -> list[str]:
    """Return the paths in ``files`` that are not needed. ``files``: path and export id of each file."""
    rows = await connection.fetch(ORPHANED_EXPORTS, [path for path, _ in files], [id_ for _, id_ in files])
    return [row["path"] for row in rows]


async def orphaned_pdfs(connection: Connection, paths: Sequence[str]) -> list[str]:
    """Return the paths in ``paths`` to which no drive refers."""
    return [row["path"] for row in await connection.fetch(ORPHANED_PDFS, list(paths))]


async def delete_read_marks(connection: Connection, after: tuple[int, int], limit: int) -> MarksPage | None:
    """Delete the orphaned marks among the next ``limit`` marks. ``after``: user and notification of the last mark seen.

    Returns ``None`` when there are no more marks.
    """
    row = await connection.fetchrow(DELETE_READ_MARKS, *after, limit)
    return MarksPage((row["user_id"], row["notification_id"]), row["gone"]) if row else None
