"""Add accounts with a given id as the API does: a version in the vault, and an event that refers to it."""

from uuid import uuid4

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.postgres.database import Connection
from contracts.message import Event
from contracts.users import Role, UserCreated
from services.api.users import sql
from services.api.users.decider import Person


async def add_user(
    connection: Connection,
    user_id: int,
    role: Role,
    *further_events: Event,
    name: str = "Somebody",
    email: str | None = None,
) -> None:
    """Add an account in the caller's transaction. Append ``further_events`` to its stream."""
    person = Person(1, name, email or f"{user_id}@college.edu")
    await sql.add_version(connection, user_id, person)
    event = UserCreated(user_id=user_id, person_version=person.version, role=role)
    cause = Cause(source="test", correlation_id=uuid4())
    await event_store.append(connection, f"user-{user_id}", [event, *further_events], cause, expected_version=0)
