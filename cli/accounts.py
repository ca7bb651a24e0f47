"""Accounts made straight in the database, because a system's first one must come from somewhere."""

from chassis.database import Connection
from chassis.event_store import Cause, fresh_ids
from contracts.users import Role, UserCreated
from services.api.users import handlers, sql


async def create_user(
    connection: Connection, email: str, name: str, role: Role, password_hash: str, cause: Cause
) -> int:
    """The new user's id. Raises ``Refused`` when the e-mail address is taken."""
    user_id = await sql.next_id(connection)
    event = UserCreated(user_id=user_id, name=name, email=email, role=role)
    await handlers.create(connection, event, password_hash, cause, fresh_ids)
    return user_id
