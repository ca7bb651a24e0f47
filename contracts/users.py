"""People who sign in. Producer: services/api. No event ever holds a password or a hash."""

from enum import StrEnum

from pydantic import Field

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


class UserDetailsRevised(Event):
    """The details after the change; ``changed`` names the fields that differ. Also for students."""

    TYPE = "placewire.user.details-revised.v1"

    user_id: int
    name: str
    email: str
    department: str | None = None
    changed: list[str] = Field(min_length=1)


class PasswordChanged(Event):
    """Tokens issued before this event are no longer accepted. ``first``: the account had no password, so no tokens."""

    TYPE = "placewire.user.password-changed.v1"

    user_id: int
    first: bool = False


class RoleChanged(Event):
    TYPE = "placewire.user.role-changed.v1"

    user_id: int
    role: Role


class AccountDeactivated(Event):
    """The account cannot sign in, and tokens issued before this event are no longer accepted. ``by``: a user's id."""

    TYPE = "placewire.user.deactivated.v1"

    user_id: int
    by: int


class AccountReactivated(Event):
    """The account can sign in again, with its previous password. ``by``: a user's id."""

    TYPE = "placewire.user.reactivated.v1"

    user_id: int
    by: int
