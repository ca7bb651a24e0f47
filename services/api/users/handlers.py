"""One function per command on users. The caller owns the transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import asyncpg

from chassis.errors import Conflict, NotFound, RuleViolation
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, NewId
from chassis.postgres.database import Connection
from contracts.message import Event
from contracts.users import AccountDeactivated, PasswordChanged, Role, UserCreated, UserDetailsRevised
from services.api.http.access import CHANNEL
from services.api.students import reevaluation
from services.api.users import erasure_sql, link_sql, sql
from services.api.users.decider import (
    RESERVED_ADDRESS,
    CreateUser,
    ErasePerson,
    Person,
    ReviseUser,
    SetActivity,
    User,
    decide,
    is_reserved,
    revised,
)

NO_USER = "There is no such user."


async def create(connection: Connection, command: CreateUser, password_hash: str, cause: Cause, new_id: NewId) -> int:
    """Create the account of a user who is not a student, and return its id.

    Raises ``RuleViolation`` when the e-mail address is taken.
    """
    person = Person(1, command.name, command.email)
    user_id = await sql.add_person(connection, person)
    event = UserCreated(
        user_id=user_id, person_version=person.version, role=command.role, department=command.department
    )
    with unique_identity(person):
        await event_store.append(connection, f"user-{user_id}", [event], cause, expected_version=0, new_id=new_id)
    await sql.put_password(connection, user_id, password_hash)
    return user_id


async def revise(
    connection: Connection, user_id: int, command: ReviseUser, password_hash: str | None, cause: Cause, new_id: NewId
) -> None:
    """Revise an account. Raises ``NotFound``, errors of ``decide``, ``RuleViolation`` for a taken e-mail address."""
    user = await _locked(connection, user_id, counts_heads=command.role not in (None, Role.HEAD))
    events = decide(user, command)
    person = revised(user.person, command.details or {})
    if person is not user.person:
        await sql.add_version(connection, user_id, person)
    with unique_identity(person):
        await _append(connection, user_id, events, cause, new_id)
    if password_hash is not None:
        await sql.put_password(connection, user_id, password_hash)


async def set_activity(connection: Connection, user_id: int, command: SetActivity, cause: Cause, new_id: NewId) -> None:
    """Deactivate or reactivate an account. For a student, request new evaluations. Raises as ``revise``."""
    user = await _locked(connection, user_id, counts_heads=not command.active)
    events = decide(user, command)
    if not events:
        return
    appended = await _append(connection, user_id, events, cause, new_id)
    if isinstance(events[0], AccountDeactivated):
        await link_sql.end(connection, user_id)
    if user.role is Role.STUDENT:
        caused = replace(cause, causation_id=appended.ids[0])
        await reevaluation.request_for_activity(connection, user_id, caused, was_active=user.active)


async def erase(connection: Connection, user_id: int, command: ErasePerson, cause: Cause, new_id: NewId) -> bool:
    """Erase the personal data of an account, and close it for good. Return false if it was erased before.

    Raises ``NotFound`` and errors of ``decide``.
    """
    user = await _locked(connection, user_id, counts_heads=True)
    events = decide(user, command)
    if not events:
        return False
    if not await erasure_sql.erase(connection, user_id):
        raise AssertionError(f"person {user_id} was erased without an event PersonErased")
    appended = await _append(connection, user_id, events, cause, new_id)
    if user.role is Role.STUDENT and user.active:
        caused = replace(cause, causation_id=appended.ids[0])
        await reevaluation.request_for_activity(connection, user_id, caused, was_active=True)
    return True


async def check_erasure(connection: Connection, user_id: int, command: ErasePerson) -> None:
    """Raise what ``erase`` would raise."""
    decide(await _locked(connection, user_id, counts_heads=True), command)


async def set_password(
    connection: Connection, user_id: int, password_hash: str, cause: Cause, new_id: NewId, *, checked: str | None = None
) -> None:
    """Set a new password. ``checked``: the hash that the current password was compared with.

    Raises ``NotFound`` for an unknown or deactivated account, and ``Conflict`` when the hash has changed since.
    """
    row = await sql.locked(connection, user_id)
    if row is None or not row["active"]:
        raise NotFound(NO_USER)
    if checked is not None and row["password_hash"] != checked:
        raise Conflict
    event = PasswordChanged(user_id=user_id, first=row["password_hash"] is None)
    await _append(connection, user_id, [event], cause, new_id)
    await sql.put_password(connection, user_id, password_hash)


async def _locked(connection: Connection, user_id: int, *, counts_heads: bool) -> User:
    if counts_heads:
        await sql.lock_heads(connection)
    row = await sql.locked(connection, user_id)
    if row is None:
        raise NotFound(NO_USER)
    return User(
        user_id=user_id,
        role=Role(row["role"]),
        person=Person(row["person_version"], row["name"], row["email"], row["roll_number"]),
        department=row["department"],
        active=row["active"],
        has_password=row["password_hash"] is not None,
        other_heads=await sql.other_heads(connection, user_id) if counts_heads else 0,
        erased=row["erased_at"] is not None,
    )


async def _append(
    connection: Connection, user_id: int, events: list[Event], cause: Cause, new_id: NewId
) -> event_store.Appended:
    """Append ``events`` to the user's stream. Notify every replica if tokens may be out of date."""
    if not events:
        return event_store.Appended((), 0, duplicate=False)
    appended = await event_store.append(
        connection, f"user-{user_id}", events, cause, expected_version=None, new_id=new_id
    )
    if any(_ends_tokens(event) for event in events):
        await sql.notify_access_changed(connection, CHANNEL)
    return appended


def _ends_tokens(event: Event) -> bool:
    """Return whether the event ends tokens. A first password does not: no token was issued before it."""
    return not (isinstance(event, UserDetailsRevised) or (isinstance(event, PasswordChanged) and event.first))


@contextmanager
def unique_identity(person: Person) -> Iterator[None]:
    """Raise ``RuleViolation`` when the person's e-mail address or roll number is taken or reserved."""
    if is_reserved(person):
        raise RuleViolation(
            f"Addresses in {RESERVED_ADDRESS[1:]} and roll numbers that begin with erased- are reserved."
        )
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "users_identity_unique":
            raise RuleViolation(f"There is a user with the e-mail address {person.email} already.") from error
        if error.constraint_name == "students_roll_number_identity":
            raise RuleViolation(
                f"There is a student with the roll number {person.roll_number} already"
                " (upper and lower case are the same)."
            ) from error
        raise
