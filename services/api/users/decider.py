"""What may happen to a user. Pure."""

from dataclasses import dataclass

from chassis.errors import Refused
from contracts.users import PasswordChanged, Role, RoleChanged


@dataclass(frozen=True, slots=True)
class User:
    user_id: int
    role: Role


@dataclass(frozen=True, slots=True)
class ReviseUser:
    """``None``: leave it. ``by``: who asks."""

    by: int
    role: Role | None
    new_password: bool


def decide(user: User, command: ReviseUser) -> list[RoleChanged | PasswordChanged]:
    """``[]`` when nothing changes. Raises ``Refused`` for a role change that would lock people out or lose marks."""
    events: list[RoleChanged | PasswordChanged] = []
    if command.role is not None and command.role is not user.role:
        if command.by == user.user_id:
            raise Refused("You cannot change your own role: ask another head of the cell.")
        if Role.STUDENT in (command.role, user.role):
            raise Refused("A student's account stays a student's: create another account for another role.")
        events.append(RoleChanged(user_id=user.user_id, role=command.role))
    if command.new_password:
        events.append(PasswordChanged(user_id=user.user_id))
    return events
