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
    """The details as they are afterwards; ``changed`` names those that differ from before. Students have them, too."""

    TYPE = "placewire.user.details-revised.v1"

    user_id: int
    name: str
    email: str
    department: str | None = None
    changed: list[str] = Field(min_length=1)


class PasswordChanged(Event):
    """Tokens issued before this event are no longer accepted. ``first``: the account had no password, so none exist."""

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
    """The account can sign in again, with the password it had. ``by``: a user's id."""

    TYPE = "placewire.user.reactivated.v1"

    user_id: int
    by: int
