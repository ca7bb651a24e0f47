"""Asking for an export, and taking it back. The caller owns the transaction."""

from uuid import UUID

from chassis.errors import RuleViolation
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, NewId
from chassis.jobs import queue
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.exports import ExportRequested, InvitationsRequested
from contracts.users import ORGANIZERS
from services.api.exports import decider, sql
from services.api.exports.decider import Drive, RequestExport


async def request(connection: Connection, command: RequestExport, who: Principal, cause: Cause, new_id: NewId) -> UUID:
    """The export's id, which is its job's too. Raises what ``decider.request`` raises."""
    export_id = new_id(0)
    event = decider.request(export_id, command, await _drive(connection, command, who))
    await event_store.append(
        connection, f"export-{export_id}", [event], cause, expected_version=0, new_id=lambda _: export_id
    )
    return export_id


async def request_invitations(connection: Connection, asked: InvitationsRequested, cause: Cause) -> None:
    """Request a file of links. ``asked.export_id`` is the id of its job."""
    stream, export_id = f"export-{asked.export_id}", asked.export_id
    await event_store.append(connection, stream, [asked], cause, expected_version=0, new_id=lambda _: export_id)


async def cancel(connection: Connection, job_id: UUID, who: Principal, cause: Cause, new_id: NewId) -> None:
    """Raises what ``decider.cancel`` raises; also when the job ended while this was decided."""
    job = await queue.read(connection, job_id)
    recorded = await event_store.read(connection, job.subject) if job else []
    asked = recorded[0].event if recorded else None
    export_id = asked.export_id if isinstance(asked, ExportRequested | InvitationsRequested) else None
    event = decider.cancel(job, export_id, who.user_id, who.role)
    # In the worker's order, stream before job, so that neither waits for the other in a circle.
    await event_store.append(connection, f"export-{export_id}", [event], cause, expected_version=None, new_id=new_id)
    if not await queue.cancel(connection, job_id):
        raise RuleViolation("This job has ended already.")


async def _drive(connection: Connection, command: RequestExport, who: Principal) -> Drive:
    if command.drive_id is None:
        return Drive(known=False)
    status = await sql.drive_status(connection, command.drive_id)
    return Drive(known=status is not None and (status != "pending" or who.role in ORGANIZERS))
