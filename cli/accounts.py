"""Create accounts directly in the database, which a new system needs for its first account."""

from chassis.eventstore.event_store import Cause, fresh_ids
from chassis.postgres.database import Connection
from contracts.users import Role
from services.api.users import handlers
from services.api.users.decider import CreateUser


async def create_user(
    connection: Connection, email: str, name: str, role: Role, password_hash: str, cause: Cause
) -> int:
    """Create the account and return the user's id. Raises ``RuleViolation`` when the e-mail address is taken."""
    return await handlers.create(connection, CreateUser(name, email, role), password_hash, cause, fresh_ids)
