"""What the routes of users answer."""

from typing import Annotated

from pydantic import Field

from contracts.users import Role
from services.api.documents import Document, Instant, documented


class User(Document):
    user_id: int = Field(examples=[17])
    name: str = Field(examples=["Asha Rao"])
    email: str = Field(examples=["asha@college.edu"])
    role: Role
    department: str | None
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

LOGIN = documented(
    SignedIn,
    {401: "Invalid credentials", 429: "Too many wrong passwords. Try again in 40 s."},
    says="The token to send from now on, and whose it is.",
)
PASSWORD = documented(SignedIn, {403: "The current password is wrong.", 404: NO_USER}, says="A new token.")
CREATE = documented(User, {409: TAKEN}, says="The account.", status_code=201)
REVISE = documented(
    User, {404: NO_USER, 409: "You cannot change your own role: ask another head of the cell."}, says="The account."
)
