"""Request a refresh of the views. The caller owns the transaction."""

from uuid import UUID

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, NewId
from chassis.postgres.database import Connection
from contracts.maintenance import RefreshCause, RefreshRequested


async def request_refresh(connection: Connection, cause: Cause, new_id: NewId) -> UUID:
    """Record the request. Return the id of the refresh, which is also the id of its job."""
    refresh_id = new_id(0)
    event = RefreshRequested(refresh_id=refresh_id, cause=RefreshCause.REQUEST)
    await event_store.append(
        connection, f"refresh-{refresh_id}", [event], cause, expected_version=0, new_id=lambda _: refresh_id
    )
    return refresh_id
