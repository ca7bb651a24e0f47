"""Statements that find and delete expired data, in batches.

Two replicas can run them at once: rows that one has locked are skipped by the other.

Plans (EXPLAIN ANALYZE, 500,000 keys, 500,000 jobs, 100,000 exports, 1,100,000 events, 500,000 read marks; 1,000 rows a
batch, no sequential scan of any of these): keys along idempotency_keys_oldest, a probe of job_pkey each, 105 ms from a
cold cache; jobs along job_ended, 32 ms; expired exports along exports_expiring, 0.05 ms; files of exports by
event_stream_version, 21 ms; PDFs by event_pdf_path, 119 ms with 5,000 drives; marks by notification_reads_pkey and
event_pkey, 25 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.postgres.database import Connection
from contracts.drives import DriveCreated, DriveDeleted, DriveRevised
from contracts.exports import ExportCompleted, ExportExpired
from contracts.files import SERVED_BELOW

# Only keys of committed commands; those of commands in progress are not visible yet. A key whose event is in the log
# needs no row: the event's id is derived from the key, so a repetition is refused. Any other keeps its row, emptied.
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
# A dead job is kept until it is redriven or discarded. `placewire verify` reads from `expiry` which jobs were deleted.
DELETE_JOBS = """
WITH due AS MATERIALIZED (
    SELECT id FROM es.job WHERE finished_at < $1 AND NOT dead ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
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

# Whole months. A function of the owner, because the service's role cannot create or drop partitions.
MAINTAIN_ACCESS_LOG = "SELECT maintain_access_log($1, $2)"

# Keyset pagination: entries after the last one of the previous page.
EXPIRED_EXPORTS = """
SELECT export_id, expires_at FROM exports
 WHERE state = 'completed' AND expires_at <= $1 AND (expires_at, export_id) > ($2, $3)
 ORDER BY expires_at, export_id LIMIT $4
"""
# Files that may show an erased person. They expire at once.
WITHDRAWN_EXPORTS = "SELECT export_id FROM withdrawn_exports WHERE export_id > $1 ORDER BY export_id LIMIT $2"
FORGET_WITHDRAWN = """
DELETE FROM withdrawn_exports w
 WHERE export_id = $1
   AND NOT EXISTS (SELECT FROM exports x WHERE x.export_id = w.export_id AND x.state = 'completed' AND x.path = w.path)
"""
LOCK_STREAM = "SELECT true FROM es.stream WHERE stream_id = $1 FOR UPDATE SKIP LOCKED"

# Files that the newest completion of an export does not name, or that have expired, if no worker has the export's job.
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
# PDFs that are not named by the newest posting of any drive that exists.
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

# A notification's id is computed from its event's position. Marks are deleted only if the drive was deleted. If the
# table has lost rows, their marks stay and are valid again after a rebuild.
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
    """The last mark read, and how many of the page were deleted."""

    last: tuple[int, int]
    deleted: int


async def expire_keys(connection: Connection, before: datetime, limit: int) -> int:
    """Delete or empty up to ``limit`` keys created before ``before``. Return how many; fewer than ``limit``: done."""
    return int(await connection.fetchval(EXPIRE_KEYS, before, limit))


async def delete_jobs(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` jobs that ended before ``before``. Return how many; fewer than ``limit``: done."""
    return int(await connection.fetchval(DELETE_JOBS, before, limit))


async def delete_links(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` links that expired before ``before``. Return how many; fewer than ``limit``: done."""
    return int(await connection.fetchval(DELETE_LINKS, before, limit))


async def maintain_access_log(connection: Connection, now: datetime, kept: timedelta) -> int:
    """Create the partitions of the next months and drop those that are older than ``kept``. Return the rows deleted.

    Raises ``Contended`` when a reader holds a lock for long.
    """
    return int(await connection.fetchval(MAINTAIN_ACCESS_LOG, now, kept))


async def expired_exports(
    connection: Connection, before: datetime, after: tuple[datetime, UUID], limit: int
) -> list[tuple[datetime, UUID]]:
    """Return expiry and id of expired exports after ``after``, oldest first."""
    rows = await connection.fetch(EXPIRED_EXPORTS, before, *after, limit)
    return [(row["expires_at"], row["export_id"]) for row in rows]


async def withdrawn_exports(connection: Connection, after: UUID, limit: int) -> list[UUID]:
    """Return the ids of exports whose files are withdrawn, after the id ``after``."""
    return [row["export_id"] for row in await connection.fetch(WITHDRAWN_EXPORTS, after, limit)]


async def forget_withdrawn(connection: Connection, export_id: UUID) -> None:
    """Delete the order to withdraw a file, once its export no longer refers to it."""
    await connection.execute(FORGET_WITHDRAWN, export_id)


async def lock_stream(connection: Connection, stream: str) -> bool:
    """Lock ``stream`` against appends until the transaction ends. Return false when another session appends to it."""
    return bool(await connection.fetchval(LOCK_STREAM, stream))


async def orphaned_exports(connection: Connection, files: Sequence[tuple[str, UUID]]) -> list[str]:
    """Return those of ``files`` (path, and the export it was written for) that are not needed."""
    rows = await connection.fetch(ORPHANED_EXPORTS, [path for path, _ in files], [id_ for _, id_ in files])
    return [row["path"] for row in rows]


async def orphaned_pdfs(connection: Connection, paths: Sequence[str]) -> list[str]:
    """Return those of ``paths`` that no drive refers to."""
    return [row["path"] for row in await connection.fetch(ORPHANED_PDFS, list(paths))]


async def delete_read_marks(connection: Connection, after: tuple[int, int], limit: int) -> MarksPage | None:
    """Check the next ``limit`` marks after ``after`` (user, notification). ``None``: there are no more."""
    row = await connection.fetchrow(DELETE_READ_MARKS, *after, limit)
    return MarksPage((row["user_id"], row["notification_id"]), row["gone"]) if row else None
