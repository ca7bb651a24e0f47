"""Statements about notifications.

Plans (EXPLAIN ANALYZE, 2 cores, 2,000,000 registrations, 1,000 drives with notifications for students, 30 of them for
100,000 students each): index scans of ``notifications`` by audience, and one probe of ``selections_pkey`` per drive.
The size of the ledgers does not matter. For a student with 30 unread notifications, MINE takes 1.2 ms and UNREAD 1.5 ms
(1,000 probes each). After READ_ALL, UNREAD only probes newer notifications. For staff with 1,000 notifications, MINE
takes 0.2 ms (15 index rows) and UNREAD 0.8 ms.
"""

import asyncpg

from chassis.postgres.database import Connection
from services.api.http.long_lists import instant

# The user. They have read every notification that is visible in the snapshot ``seen``. No row for an unknown user.
CALLER = """
caller AS MATERIALIZED (
    SELECT u.user_id, u.role, u.created_at, coalesce(m.seen, '1:1:'::pg_snapshot) AS seen, m.read_at,
           greatest(u.created_at, (SELECT max(recorded_at) FROM es.event
                                    WHERE stream_id = 'user-' || u.user_id AND type = 'placewire.user.role-changed.v1'
           )) AS role_since
      FROM users u LEFT JOIN notification_read_marks m USING (user_id)
     WHERE u.user_id = $1
)
"""

# Conditions under which notification n is addressed to the user. Each can use an index. A notification for a role is
# for the users who had the role at that time. ``selections`` has no index by student, because it would slow every
# evaluation. So each n probes one key, in a scalar subquery: the planner never turns it into a join that reads the
# whole ledger of a drive.
CONDITIONS = (
    "n.audience = caller.role AND n.created_at >= caller.role_since",
    "n.user_id = caller.user_id AND n.audience = 'USER'",
    """n.audience = 'SELECTED' AND n.created_at >= caller.created_at AND caller.role = 'STUDENT' AND (
        SELECT true FROM selections s
         WHERE s.drive_id = n.entity_id AND s.student_id = caller.user_id AND s.selected_version = n.drive_version)""",
    """n.audience = 'DESELECTED' AND n.created_at >= caller.created_at AND caller.role = 'STUDENT' AND (
        SELECT true FROM selections s
         WHERE s.drive_id = n.entity_id AND s.student_id = caller.user_id AND s.revoked_version = n.drive_version)""",
    """n.audience = 'REGISTERED' AND caller.role = 'STUDENT' AND n.entity_type = 'drive' AND n.entity_id = ANY (
        ARRAY (SELECT r.drive_id FROM registrations r WHERE r.student_id = caller.user_id))""",
)


def _addressed(columns: str, suffix: str) -> str:
    selects = (f"(SELECT {columns} FROM notifications n WHERE {condition} {suffix})" for condition in CONDITIONS)  # noqa: S608
    return " UNION ALL ".join(selects)


NEWEST_FIRST = "ORDER BY n.created_at DESC, n.notification_id DESC"
READ_AT = "least(r.read_at, CASE WHEN pg_visible_in_snapshot(n.xid, caller.seen) THEN caller.read_at END)"
SHOWN = f"""
SELECT n.notification_id, caller.user_id, n.title, n.message, n.type, n.entity_type, n.entity_id, n.created_at,
       {READ_AT} AS read_at
"""
READ_BY_CALLER = "notification_reads r ON r.user_id = caller.user_id AND r.notification_id = n.notification_id"

MINE = f"""
WITH {CALLER}
{SHOWN}
  FROM caller
 CROSS JOIN LATERAL (
     SELECT n.* FROM ({_addressed("n.*", NEWEST_FIRST + " LIMIT $2")}) n {NEWEST_FIRST} LIMIT $2
 ) n
  LEFT JOIN {READ_BY_CALLER}
{NEWEST_FIRST}
"""  # noqa: S608

# All notifications addressed to a user, oldest first.
ALL_OF_USER = f"""
WITH {CALLER}
SELECT n.notification_id, n.title, n.message, n.entity_type, n.entity_id, {instant("n.created_at")} AS created_at,
       {instant(READ_AT)} AS read_at
  FROM caller CROSS JOIN LATERAL ({_addressed("n.*", "")}) n
  LEFT JOIN {READ_BY_CALLER}
 ORDER BY n.created_at, n.notification_id
"""  # noqa: S608

# Reads only notifications written since the user last marked everything as read.
SINCE = "AND n.xid >= pg_snapshot_xmin(caller.seen) AND NOT pg_visible_in_snapshot(n.xid, caller.seen)"
UNREAD = f"""
WITH {CALLER}
SELECT count(*)
  FROM caller
 CROSS JOIN LATERAL ({_addressed("n.notification_id", SINCE)}) n
 WHERE NOT EXISTS (SELECT FROM notification_reads r
                    WHERE r.user_id = caller.user_id AND r.notification_id = n.notification_id)
"""  # noqa: S608

IS_ADDRESSED = " OR ".join(f"({condition})" for condition in CONDITIONS)
READ_ONE = f"""
WITH {CALLER}
INSERT INTO notification_reads (user_id, notification_id, read_at)
SELECT caller.user_id, n.notification_id, clock_timestamp()
  FROM caller JOIN notifications n ON n.notification_id = $2 AND ({IS_ADDRESSED})
ON CONFLICT DO NOTHING
"""  # noqa: S608
ONE = f"""
WITH {CALLER}
{SHOWN}
  FROM caller JOIN notifications n ON n.notification_id = $2 AND ({IS_ADDRESSED})
  LEFT JOIN {READ_BY_CALLER}
"""

# Of two concurrent requests, the later snapshot wins.
READ_ALL = """
INSERT INTO notification_read_marks AS m (user_id, seen, read_at)
VALUES ($1, es.log_snapshot(), clock_timestamp())
ON CONFLICT (user_id) DO UPDATE SET seen = excluded.seen, read_at = excluded.read_at
   WHERE pg_snapshot_xmax(excluded.seen) >= pg_snapshot_xmax(m.seen)
"""


async def newest(connection: Connection, user_id: int, *, limit: int) -> list[asyncpg.Record]:
    """Return the user's notifications, newest first. ``read_at``: null if unread."""
    return await connection.fetch(MINE, user_id, limit)


async def unread(connection: Connection, user_id: int) -> int:
    return int(await connection.fetchval(UNREAD, user_id))


async def read(connection: Connection, user_id: int, notification_id: int) -> asyncpg.Record | None:
    """Mark a notification as read, keeping the first time. ``None`` when the user has no notification with this id."""
    await connection.execute(READ_ONE, user_id, notification_id)
    return await connection.fetchrow(ONE, user_id, notification_id)


async def read_all(connection: Connection, user_id: int) -> None:
    """Mark everything that the user can see at this moment as read. Writes one row for all notifications."""
    await connection.execute(READ_ALL, user_id)
