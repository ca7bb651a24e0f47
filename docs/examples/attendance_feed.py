"""A subscription: write every attendance mark once and in order into a table of its own, with its running number.

Several copies may run; one is active.
DATABASE_URL=postgresql://role@host/database python docs/examples/attendance_feed.py
"""

import asyncio
import os
from collections.abc import Sequence

from chassis.eventstore.event_store import Recorded
from chassis.eventstore.subscriptions import Subscription
from chassis.observability import logs
from chassis.postgres.database import Connection, Database
from contracts.attendance import AttendanceMarked

WRITE = """
INSERT INTO feed.attendance (number, position, stream, version, student_id, status)
SELECT (SELECT count(*) FROM feed.attendance) + place, position, stream, version, student_id, status
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::integer[], $5::text[])
       WITH ORDINALITY AS mark (position, stream, version, student_id, status, place)
"""


async def write_marks(connection: Connection, events: Sequence[Recorded]) -> None:
    """Write ``events`` in the transaction that moves the checkpoint: both happen, or neither."""
    marks = [(one, one.event) for one in events if isinstance(one.event, AttendanceMarked)]
    rows = [(one.position, one.stream, one.version, mark.student_id, mark.status.value) for one, mark in marks]
    await connection.execute(WRITE, *(list(column) for column in zip(*rows, strict=True)))


async def main() -> None:
    """Follow the log until the process is stopped."""
    logs.set_up_logs("attendance-feed", format_="text", level="info")
    database = Database(os.environ["DATABASE_URL"], pool_size=2, application_name="attendance-feed")
    try:
        await Subscription(database, "attendance_feed", write_marks, types=[AttendanceMarked]).run()
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
