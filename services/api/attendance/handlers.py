"""Mark and publish attendance. The caller owns the transaction. The registrations lock orders concurrent commands."""

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, NewId
from chassis.postgres.database import Connection
from contracts.attendance import Presence
from services.api.attendance import sql
from services.api.attendance.decider import MarkAttendance, decide
from services.api.drives import handlers as drives
from services.api.drives import sql as drives_sql
from services.api.drives.decider import PublishAttendance


async def mark(
    connection: Connection, drive_id: int, student_id: int, status: Presence, cause: Cause, new_id: NewId
) -> int:
    """Mark a student's attendance and return the mark's id. Raises what ``decide`` raises, before anything is written.

    Until the transaction ends, no other transaction can publish the attendance or delete the drive.
    """
    await drives_sql.lock_registrations_shared(connection, drive_id)
    await sql.lock_sheet(connection, drive_id, student_id)
    sheet = await sql.sheet(connection, drive_id, student_id)
    attendance_id = sheet.attendance_id or await sql.next_id(connection)
    events = decide(sheet, MarkAttendance(drive_id, student_id, status, attendance_id))
    if events:
        # No expected version is needed, because the lock on the sheet excludes other writers.
        stream = f"attendance-{drive_id}-{student_id}"
        await event_store.append(connection, stream, events, cause, expected_version=None, new_id=new_id)
    return attendance_id


async def publish(connection: Connection, drive_id: int, cause: Cause, new_id: NewId) -> None:
    """Finish the drive. From then on its marks cannot change. Raises what ``drives.handle`` raises."""
    await drives_sql.lock_registrations(connection, drive_id)
    totals = await sql.totals(connection, drive_id)
    command = PublishAttendance(drive_id, totals.registered, totals.present, totals.absent)
    await drives.handle(connection, command, cause, new_id)
