"""Statements about notifications.

Plans (EXPLAIN ANALYZE on 2 cores; 1,000 drives with notifications of students, 30 of them to 100,000 each, 2,000,000
registrations): whatever the size of the ledgers, index scans of ``notifications`` by audience and one probe of
``selections_pkey`` for each of these drives. A student to whom 30 of them are addressed and who has read nothing: MINE
1.2 ms, UNREAD 1.5 ms (1,000 probes each; once they have read all, UNREAD probes only what came since). Staff with 1,000
of their own: MINE 0.2 ms (15 index rows), UNREAD 0.8 ms.
"""

import asyncpg

from chassis.postgres.database import Connection
from services.api.http.long_lists import instant

# The user, and the snapshot up to which they have read everything. No row for an unknown user.
ME = """
me AS MATERIALIZED (
    SELECT u.user_id, u.role, u.created_at, coalesce(m.seen, '1:1:'::pg_snapshot) AS seen, m.read_at,
           greatest(u.created_at, (SELECT max(recorded_at) FROM es.event
                                    WHERE stream_id = 'user-' || u.user_id AND type = 'placewire.user.role-changed.v1'
           )) AS role_since
      FROM users u LEFT JOIN notification_read_marks m USING (user_id)
     WHERE u.user_id = $1
)
"""

# Conditions under which notification n is addressed to the user, each with an index. Those of a role are for users who
# had it at the time. Selections have no index by student, which would slow every evaluation, so each n probes one key.
# A scalar subquery, because the planner never turns it into a join that reads a drive's whole ledger.
WAYS = (
    "n.audience = me.role AND n.created_at >= me.role_since",
    "n.user_id = me.user_id AND n.audience = 'USER'",
    """n.audience = 'SELECTED' AND n.created_at >= me.created_at AND me.role = 'STUDENT' AND (
        SELECT true FROM selections s
         WHERE s.drive_id = n.entity_id AND s.student_id = me.user_id AND s.selected_version = n.drive_version)""",
    """n.audience = 'DESELECTED' AND n.created_at >= me.created_at AND me.role = 'STUDENT' AND (
        SELECT true FROM selections s
         WHERE s.drive_id = n.entity_id AND s.student_id = me.user_id AND s.revoked_version = n.drive_version)""",
    """n.audience = 'REGISTERED' AND me.role = 'STUDENT' AND n.entity_type = 'drive' AND n.entity_id = ANY (
        ARRAY (SELECT r.drive_id FROM registrations r WHERE r.student_id = me.user_id))""",
)


def _each_way(columns: str, more: str) -> str:
    return " UNION ALL ".join(f"(SELECT {columns} FROM notifications n WHERE {way} {more})" for way in WAYS)  # noqa: S608


NEWEST_FIRST = "ORDER BY n.created_at DESC, n.notification_id DESC"
SHOWN = """
SELECT n.notification_id, me.user_id, n.title, n.message, n.type, n.entity_type, n.entity_id, n.created_at,
       least(r.read_at, CASE WHEN pg_visible_in_snapshot(n.xid, me.seen) THEN me.read_at END) AS read_at
"""
READ_BY_ME = "notification_reads r ON r.user_id = me.user_id AND r.notification_id = n.notification_id"

MINE = f"""
WITH {ME}
{SHOWN}
  FROM me
 CROSS JOIN LATERAL (
     SELECT n.* FROM ({_each_way("n.*", NEWEST_FIRST + " LIMIT $2")}) n {NEWEST_FIRST} LIMIT $2
 ) n
  LEFT JOIN {READ_BY_ME}
{NEWEST_FIRST}
"""  # noqa: S608

# All notifications addressed to a user, oldest first.
ALL_OF_USER = f"""
WITH {ME}
SELECT n.notification_id, n.title, n.message, n.entity_type, n.entity_id, {instant("n.created_at")} AS created_at,
       {instant("least(r.read_at, CASE WHEN pg_visible_in_snapshot(n.xid, me.seen) THEN me.read_at END)")} AS read_at
  FROM me CROSS JOIN LATERAL ({_each_way("n.*", "")}) n
  LEFT JOIN {READ_BY_ME}
 ORDER BY n.created_at, n.notification_id
"""  # noqa: S608

# Reads only notifications written since the user last marked everything as read.
SINCE = "AND n.xid >= pg_snapshot_xmin(me.seen) AND NOT pg_visible_in_snapshot(n.xid, me.seen)"
UNREAD = f"""
WITH {ME}
SELECT count(*)
  FROM me
 CROSS JOIN LATERAL ({_each_way("n.notification_id", SINCE)}) n
 WHERE NOT EXISTS (SELECT FROM notification_reads r
                    WHERE r.user_id = me.user_id AND r.notification_id = n.notification_id)
"""  # noqa: S608

ANY_WAY = " OR ".join(f"({way})" for way in WAYS)
READ_ONE = f"""
WITH {ME}
INSERT INTO notification_reads (user_id, notification_id, read_at)
SELECT me.user_id, n.notification_id, clock_timestamp()
  FROM me JOIN notifications n ON n.notification_id = $2 AND ({ANY_WAY})
ON CONFLICT DO NOTHING
"""  # noqa: S608
ONE = f"""
WITH {ME}
{SHOWN}
  FROM me JOIN notifications n ON n.notification_id = $2 AND ({ANY_WAY})
  LEFT JOIN {READ_BY_ME}
"""

# Of two concurrent requests, the later snapshot wins.
READ_ALL = """
INSERT INTO notification_read_marks AS m (user_id, seen, read_at)
VALUES ($1, es.log_snapshot(), clock_timestamp())
ON CONFLICT (user_id) DO UPDATE SET seen = excluded.seen, read_at = excluded.read_at
   WHERE pg_snapshot_xmax(excluded.seen) >= pg_snapshot_xmax(m.seen)
"""


async def newest(connection: Connection, user_id: int, *, limit: int) -> list[asyncpg.Record]:
    """Return the user's notifications, newest first. ``read_at`` null: not read."""
    return await connection.fetch(MINE, user_id, limit)


async def unread(connection: Connection, user_id: int) -> int:
    return int(await connection.fetchval(UNREAD, user_id))


async def read(connection: Connection, user_id: int, notification_id: int) -> asyncpg.Record | None:
    """Mark a notification as read, keeping the first time. ``None`` when the user has no notification with this id."""
    await connection.execute(READ_ONE, user_id, notification_id)
    return await connection.fetchrow(ONE, user_id, notification_id)


async def read_all(connection: Connection, user_id: int) -> None:
    """Mark everything that the user can see at this moment as read. Writes one row, however many there are."""
    await connection.execute(READ_ALL, user_id)
