"""One function per command on users. The caller owns the transaction."""

import asyncpg

from chassis import event_store
from chassis.database import Connection
from chassis.errors import NotFound, Refused
from chassis.event_store import Cause, NewId
from contracts.users import PasswordChanged, Role, UserCreated
from services.api.access import CHANNEL
from services.api.users import sql
from services.api.users.decider import ReviseUser, User, decide


async def create(connection: Connection, event: UserCreated, password_hash: str, cause: Cause, new_id: NewId) -> None:
    """Raises ``Refused`` when the e-mail address is taken."""
    try:
        await event_store.append(connection, f"user-{event.user_id}", [event], cause, expected_version=0, new_id=new_id)
    except asyncpg.UniqueViolationError as error:
        raise Refused(f"There is a user with the e-mail address {event.email} already.") from error
    await sql.put_password(connection, event.user_id, password_hash)


async def revise(
    connection: Connection,
    user_id: int,
    *,
    role: Role | None,
    password_hash: str | None,
    cause: Cause,
    new_id: NewId,
) -> None:
    """Raises ``NotFound``, and what ``decide`` raises."""
    row = await sql.get(connection, user_id)
    if row is None:
        raise NotFound("There is no such user.")
    command = ReviseUser(by=cause.actor_id or 0, role=role, new_password=password_hash is not None)
    events = decide(User(user_id, Role(row["role"])), command)
    if not events:
        return
    await event_store.append(connection, f"user-{user_id}", events, cause, expected_version=None, new_id=new_id)
    if password_hash is not None:
        await sql.put_password(connection, user_id, password_hash)
    await sql.tell_access_changed(connection, CHANNEL)


async def change_password(connection: Connection, user_id: int, password_hash: str, cause: Cause) -> None:
    events = [PasswordChanged(user_id=user_id)]
    await event_store.append(connection, f"user-{user_id}", events, cause, expected_version=None)
    await sql.put_password(connection, user_id, password_hash)
    await sql.tell_access_changed(connection, CHANNEL)
