"""What may happen to a user. Pure."""

from dataclasses import dataclass
from typing import Any

from chassis.errors import Refused
from contracts.message import Event
from contracts.users import (
    AccountDeactivated,
    AccountReactivated,
    PasswordChanged,
    Role,
    RoleChanged,
    UserDetailsRevised,
)

DETAILS = ("name", "email", "department")
LAST_HEAD = "This is the last active head of the cell: make another user a head first."


@dataclass(frozen=True, slots=True)
class User:
    """State of an account. ``other_heads``: the number of other active heads."""

    user_id: int
    role: Role
    name: str
    email: str
    department: str | None
    active: bool
    has_password: bool
    other_heads: int

    @property
    def is_last_head(self) -> bool:
        return self.role is Role.HEAD and self.active and not self.other_heads


@dataclass(frozen=True, slots=True)
class ReviseUser:
    """``role`` ``None``: unchanged. ``details``: the ``DETAILS`` to replace. ``by``: the id of the requesting user."""

    by: int
    role: Role | None = None
    new_password: bool = False
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SetActivity:
    """Deactivate or reactivate an account. ``by``: the id of the requesting user."""

    by: int
    active: bool


def decide(user: User, command: ReviseUser | SetActivity) -> list[Event]:
    """Return the events; ``[]`` when nothing changes. Raises ``Refused`` for changes that would lock out the cell."""
    if isinstance(command, SetActivity):
        return _activity(user, command)
    events: list[Event] = []
    if command.role is not None and command.role is not user.role:
        if command.by == user.user_id:
            raise Refused("You cannot change your own role: ask another head of the cell.")
        if Role.STUDENT in (command.role, user.role):
            raise Refused("A student's account stays a student's: create another account for another role.")
        if user.is_last_head:
            raise Refused(LAST_HEAD)
        events.append(RoleChanged(user_id=user.user_id, role=command.role))
    if command.details:
        events += _details(user, command.details)
    if command.new_password:
        events.append(PasswordChanged(user_id=user.user_id, first=not user.has_password))
    return events


def _details(user: User, details: dict[str, Any]) -> list[Event]:
    before = {name: getattr(user, name) for name in DETAILS}
    after = before | details
    changed = [name for name in DETAILS if before[name] != after[name]]
    return [UserDetailsRevised(user_id=user.user_id, changed=changed, **after)] if changed else []


def _activity(user: User, command: SetActivity) -> list[Event]:
    if command.active is user.active:
        return []
    if command.active:
        return [AccountReactivated(user_id=user.user_id, by=command.by)]
    if command.by == user.user_id:
        raise Refused("You cannot deactivate your own account: ask another head of the cell.")
    if user.is_last_head:
        raise Refused(LAST_HEAD)
    return [AccountDeactivated(user_id=user.user_id, by=command.by)]
