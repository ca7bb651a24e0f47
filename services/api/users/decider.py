"""Decide commands on user accounts. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chassis.errors import RuleViolation
from contracts.message import Event
from contracts.users import (
    AccountDeactivated,
    AccountReactivated,
    PasswordChanged,
    PersonErased,
    Role,
    RoleChanged,
    UserDetailsRevised,
)

# Details that are stored only in the vault. Events refer to them by version.
PERSONAL = ("name", "email", "roll_number")
DETAILS = (*PERSONAL, "department")
# Erased people are shown with these values (SQL: vault.shown_*). Nobody else may have them.
RESERVED_ADDRESS = "@erased.invalid"
RESERVED_ROLL_NUMBER = "erased-"
ERASED = "The personal data of this person was erased. The account stays closed."
LAST_HEAD = "This is the last active head of the cell: make another user a head first."


@dataclass(frozen=True, slots=True)
class Person:
    """A version of an account's personal details. ``roll_number``: for students only."""

    version: int
    name: str
    email: str
    roll_number: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """State of an account. ``other_heads``: the number of other active heads."""

    user_id: int
    role: Role
    person: Person
    department: str | None
    active: bool
    has_password: bool
    other_heads: int
    erased: bool = False

    @property
    def is_last_head(self) -> bool:
        return self.role is Role.HEAD and self.active and not self.other_heads


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Create the account of a user who is not a student."""

    name: str
    email: str
    role: Role
    department: str | None = None


@dataclass(frozen=True, slots=True)
class ReviseUser:
    """``role``: ``None`` changes nothing. ``details``: the new ``DETAILS``. ``by``: the id of the requesting user."""

    by: int
    role: Role | None = None
    new_password: bool = False
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SetActivity:
    """Deactivate or reactivate an account. ``by``: the id of the requesting user."""

    by: int
    active: bool


@dataclass(frozen=True, slots=True)
class ErasePerson:
    """Erase the personal data of an account, and close it for good.

    ``by``: the id of the requesting user; 0 for the command line.
    """

    by: int


def decide(user: User, command: ReviseUser | SetActivity | ErasePerson) -> list[Event]:
    """Return the events; ``[]`` when nothing changes. Raises ``RuleViolation`` when no active head would be left."""
    if isinstance(command, ErasePerson):
        return _erasure(user, command)
    if isinstance(command, SetActivity):
        return _activity(user, command)
    if user.erased:
        raise RuleViolation(ERASED)
    events: list[Event] = []
    if command.role is not None and command.role is not user.role:
        if command.by == user.user_id:
            raise RuleViolation("You cannot change your own role: ask another head of the cell.")
        if Role.STUDENT in (command.role, user.role):
            raise RuleViolation("No account can change from or to a student's. Create another account for the role.")
        if user.is_last_head:
            raise RuleViolation(LAST_HEAD)
        events.append(RoleChanged(user_id=user.user_id, role=command.role))
    if command.details:
        events += _details(user, command.details)
    if command.new_password:
        events.append(PasswordChanged(user_id=user.user_id, first=not user.has_password))
    return events


def revised(person: Person, details: Mapping[str, Any]) -> Person:
    """Return the next version of ``person`` with ``details``, or ``person`` itself if nothing differs."""
    after = replace(person, **{name: details[name] for name in PERSONAL if name in details})
    return person if after == person else replace(after, version=person.version + 1)


def _details(user: User, details: Mapping[str, Any]) -> list[Event]:
    before = {name: getattr(user.person, name) for name in PERSONAL} | {"department": user.department}
    after = {**before, **details}
    changed = [name for name in DETAILS if before[name] != after[name]]
    if not changed:
        return []
    version = revised(user.person, details).version
    return [
        UserDetailsRevised(
            user_id=user.user_id, person_version=version, department=after["department"], changed=changed
        )
    ]


def _activity(user: User, command: SetActivity) -> list[Event]:
    if command.active is user.active:
        return []
    if user.erased:
        raise RuleViolation(ERASED)
    if command.active:
        return [AccountReactivated(user_id=user.user_id, by=command.by)]
    if command.by == user.user_id:
        raise RuleViolation("You cannot deactivate your own account: ask another head of the cell.")
    if user.is_last_head:
        raise RuleViolation(LAST_HEAD)
    return [AccountDeactivated(user_id=user.user_id, by=command.by)]


def _erasure(user: User, command: ErasePerson) -> list[Event]:
    if user.erased:
        return []
    if command.by == user.user_id:
        raise RuleViolation("You cannot erase your own account: ask another head of the cell.")
    if user.is_last_head:
        raise RuleViolation(LAST_HEAD)
    deactivated: list[Event] = [AccountDeactivated(user_id=user.user_id, by=command.by)] if user.active else []
    return [*deactivated, PersonErased(person_id=user.user_id, by=command.by)]


def is_reserved(person: Person) -> bool:
    """Return whether the address or roll number is reserved for erased people."""
    return person.email.strip().lower().endswith(RESERVED_ADDRESS) or (
        person.roll_number or ""
    ).strip().lower().startswith(RESERVED_ROLL_NUMBER)
