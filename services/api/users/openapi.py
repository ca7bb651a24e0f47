"""Response bodies of the user routes."""

from typing import Annotated

from pydantic import Field

from contracts.users import Role
from services.api.http.openapi import Document, Instant, documented


class User(Document):
    user_id: int = Field(examples=[17])
    name: str = Field(examples=["Asha Rao"])
    email: str = Field(examples=["asha@college.edu"])
    role: Role
    department: str | None
    active: bool = Field(description="false: the account is deactivated")
    created_at: Instant


class SignedInUser(Document):
    user_id: int = Field(examples=[17])
    role: Role
    name: str = Field(examples=["Asha Rao"])
    email: str = Field(examples=["asha@college.edu"])


class SignedIn(Document):
    token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiJ9.e30.signature"])]
    user: SignedInUser


TAKEN = "There is a user with the e-mail address asha@college.edu already."
NO_USER = "There is no such user."

ERASED = "The personal data of this person was erased. The account stays closed."
LAST_HEAD = "This is the last active head of the cell: make another user a head first."


class PasswordLink(Document):
    """A link that sets an account's password. Anyone with ``url`` can use it. No later response shows it."""

    user_id: int = Field(examples=[17])
    url: str = Field(examples=["https://placement.college.edu/console/accept-invitation#token=0123456789abcdef"])
    expires_at: Instant


LOGIN = documented(
    SignedIn,
    {401: "Invalid credentials", 429: "Too many wrong passwords. Try again in 40 s."},
    description="The token for later requests, and its user.",
)
PASSWORD = documented(
    SignedIn,
    {
        403: "The current password is wrong.",
        404: NO_USER,
        409: "Somebody else changed this at the same moment. Reload and try again.",
    },
    description="A new token.",
)
ACCEPT = documented(
    SignedIn,
    {
        404: "This link is not valid. Ask the placement cell for a new one.",
        410: "This link has expired. Ask the placement cell for a new one.",
    },
    description="The token for later requests, and its user.",
)
CREATE = documented(User, {409: TAKEN}, description="The account.", status_code=201)
LIST = documented(list[User], description="A page of accounts.")
REVISE = documented(
    User,
    {404: NO_USER, 409: "You cannot change your own role: ask another head of the cell."},
    description="The account.",
)
DEACTIVATE = documented(User, {404: NO_USER, 409: LAST_HEAD}, description="The account.")
REACTIVATE = documented(User, {404: NO_USER, 409: ERASED}, description="The account.")
LINK = documented(
    PasswordLink,
    {
        403: "Only a head of the cell can give staff a new password.",
        404: NO_USER,
        409: "This account is deactivated: reactivate it first.",
    },
    description="The link.",
    status_code=201,
)
