"""Request and cancel exports. The caller owns the transaction."""

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


async def request(
    connection: Connection, command: RequestExport, caller: Principal, cause: Cause, new_id: NewId
) -> UUID:
    """Request an export. Return its id, which is also its job's id. Raises what ``decider.request`` raises."""
    export_id = new_id(0)
    event = decider.request(export_id, command, await _drive(connection, command, caller))
    await event_store.append(
        connection, f"export-{export_id}", [event], cause, expected_version=0, new_id=lambda _: export_id
    )
    return export_id


async def request_invitations(connection: Connection, requested: InvitationsRequested, cause: Cause) -> None:
    """Request a file of links. ``requested.export_id`` is the id of its job."""
    stream, export_id = f"export-{requested.export_id}", requested.export_id
    await event_store.append(connection, stream, [requested], cause, expected_version=0, new_id=lambda _: export_id)


async def cancel(connection: Connection, job_id: UUID, caller: Principal, cause: Cause, new_id: NewId) -> None:
    """Cancel an export. Raises what ``decider.cancel`` raises, also when the job ends in the meantime."""
    job = await queue.read(connection, job_id)
    events = await event_store.read(connection, job.subject) if job else []
    requested = events[0].event if events else None
    export_id = requested.export_id if isinstance(requested, ExportRequested | InvitationsRequested) else None
    event = decider.cancel(job, export_id, caller.user_id, caller.role)
    # Like the worker, lock the stream before the job, so that the two cannot deadlock.
    await event_store.append(connection, f"export-{export_id}", [event], cause, expected_version=None, new_id=new_id)
    if not await queue.cancel(connection, job_id):
        raise RuleViolation("This job has already ended.")


async def _drive(connection: Connection, command: RequestExport, caller: Principal) -> Drive:
    if command.drive_id is None:
        return Drive(known=False)
    status = await sql.drive_status(connection, command.drive_id)
    return Drive(known=status is not None and (status != "pending" or caller.role in ORGANIZERS))
