"""Accounts. Producer: services/api. No event holds a password, a hash, a name, an e-mail address or a roll number.

``person_version`` refers to the personal details, which are only in the table ``vault.person`` and can be erased.
"""

from enum import StrEnum

from pydantic import Field

from contracts.message import Event


class Role(StrEnum):
    STUDENT = "STUDENT"
    STAFF = "STAFF"
    COORDINATOR = "COORDINATOR"
    HEAD = "HEAD"


# The roles that run drives. They also see pending drives, and the jobs and exports of all users.
ORGANIZERS = frozenset({Role.COORDINATOR, Role.HEAD})
# The roles of the placement cell's employees.
PLACEMENT_CELL = ORGANIZERS | {Role.STAFF}


class UserCreated(Event):
    TYPE = "placewire.user.created.v1"

    user_id: int
    person_version: int = Field(ge=1)
    role: Role
    department: str | None = None


class UserDetailsRevised(Event):
    """The details of an account, a student's included, after a change.

    ``changed`` names the fields that differ: name, email, roll_number, department. ``person_version`` rises by one if
    any of them but the department differs.
    """

    TYPE = "placewire.user.details-revised.v1"

    user_id: int
    person_version: int = Field(ge=1)
    department: str | None = None
    changed: list[str] = Field(min_length=1)


class PasswordChanged(Event):
    """Tokens issued before this event are no longer accepted. ``first``: it is the account's first password."""

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


class PersonErased(Event):
    """The personal data of a user was erased, and the account is closed. No later event of the account follows.

    ``by``: a user's id; 0: the command line.
    """

    TYPE = "placewire.user.person-erased.v1"

    person_id: int
    by: int


class AccountReactivated(Event):
    """The account can sign in again, with its previous password. ``by``: a user's id."""

    TYPE = "placewire.user.reactivated.v1"

    user_id: int
    by: int
