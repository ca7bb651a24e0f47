"""People who sign in. Producer: services/api. No event ever holds a password or a hash."""

from enum import StrEnum

from contracts.message import Event


class Role(StrEnum):
    STUDENT = "STUDENT"
    STAFF = "STAFF"
    COORDINATOR = "COORDINATOR"
    HEAD = "HEAD"


class UserCreated(Event):
    TYPE = "placewire.user.created.v1"

    user_id: int
    name: str
    email: str
    role: Role
    department: str | None = None


class PasswordChanged(Event):
    """Tokens issued before this event are no longer accepted."""

    TYPE = "placewire.user.password-changed.v1"

    user_id: int


class RoleChanged(Event):
    TYPE = "placewire.user.role-changed.v1"

    user_id: int
    role: Role
