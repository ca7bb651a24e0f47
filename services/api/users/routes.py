"""Signing in, and the accounts of staff."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

from chassis import telemetry
from chassis.database import Connection
from chassis.errors import Forbidden, Invalid, NotFound, Unauthenticated
from chassis.event_store import NewId
from chassis.identity import Principal, issue_user_token
from chassis.responses import json_response
from contracts.users import Role, UserCreated
from services.api.access import ANYONE, PUBLIC, AccessFirstRoute, allow
from services.api.body_limits import MAX_UNAUTHENTICATED_BODY
from services.api.commands import Ask, Committed, perform
from services.api.context import Context, Ctx
from services.api.fields import EMAIL, MAX_INTEGER, NO_NUL, NOT_BLANK
from services.api.presentation import instant_text
from services.api.users import documents, handlers, sql
from services.api.users.passwords import digest_of, hash_password, is_password
from services.api.users.throttle import Throttle

router = APIRouter(route_class=AccessFirstRoute, tags=["users"])

Password = Annotated[SecretStr, Field(min_length=8, max_length=128)]
Email = Annotated[str, Field(max_length=320, pattern=EMAIL)]
UserId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]


class Login(BaseModel):
    email: str = Field(default="", max_length=320)
    password: SecretStr = Field(default=SecretStr(""), max_length=1024)


ACCEPTED, REFUSED = telemetry.LOGINS.labels("accepted"), telemetry.LOGINS.labels("refused")


@router.post("/api/auth/login", dependencies=[PUBLIC], max_body_size=MAX_UNAUTHENTICATED_BODY, **documents.LOGIN)
async def login(request: Request, ctx: Ctx, body: Annotated[Login | None, Body()] = None) -> Response:
    """``{token, user}``. 401 for an unknown address, a wrong or a missing password; 429 after too many."""
    throttle: Throttle = request.app.state.throttle
    email = body.email if body else ""
    async with throttle.turn(email):
        throttle.check(email)
        async with ctx.database.connection() as connection:
            row = await sql.by_email(connection, email)
        password = body.password.get_secret_value() if body else ""
        if not await is_password(password, row["password_hash"] if row else None) or row is None:
            throttle.failed(email)
            REFUSED.inc()
            raise Unauthenticated("Invalid credentials")
    throttle.succeeded(email)
    ACCEPTED.inc()
    return json_response(_signed_in(ctx, row, row["password_version"]))


class NewPassword(BaseModel):
    current_password: SecretStr = Field(max_length=1024)
    new_password: Password


@router.post("/api/auth/password", **documents.PASSWORD)
async def change_password(body: NewPassword, ctx: Ctx, ask: Ask, who: Annotated[Principal, allow(*ANYONE)]) -> Response:
    """Change one's own password. Tokens from before stop working; the answer holds a new one, like a sign-in."""
    async with ctx.database.connection() as connection:
        row = await sql.get(connection, who.user_id)
    if row is None:
        raise NotFound("There is no such user.")
    if not await is_password(body.current_password.get_secret_value(), row["password_hash"]):
        raise Forbidden("The current password is wrong.")
    hashed = await hash_password(body.new_password.get_secret_value())
    async with ctx.database.transaction() as connection:
        await handlers.change_password(connection, who.user_id, hashed, ask.cause(who))
        row = await sql.get(connection, who.user_id)
        assert row is not None
    return json_response(_signed_in(ctx, row, row["password_version"]))


class NewUser(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=200, pattern=NOT_BLANK)
    email: Email
    role: Annotated[Role, WithJsonSchema({"enum": [role for role in Role if role is not Role.STUDENT]})]
    password: Password
    department: str | None = Field(default=None, max_length=200, pattern=NO_NUL)


@router.post("/api/users", **documents.CREATE)
async def create_user(body: NewUser, ctx: Ctx, ask: Ask, who: Annotated[Principal, allow(Role.HEAD)]) -> Response:
    """An account for staff, a coordinator or a head. 409 when the address is taken."""
    if body.role is Role.STUDENT:
        raise Invalid("Students are enrolled with POST /api/students, because they need a roll number.")
    hashed = await hash_password(body.password.get_secret_value())

    async def work(connection: Connection, new_id: NewId) -> Committed:
        user_id = await sql.next_id(connection)
        event = UserCreated(user_id=user_id, **body.model_dump(exclude={"password"}))
        await handlers.create(connection, event, hashed, ask.cause(who), new_id)
        return Committed(await _shown(connection, user_id), status=201)

    return await perform(ctx, who, ask, _fingerprint(ctx, body), work)


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "string"}}}


class RevisedUser(BaseModel):
    """One of the two, or both."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_given("role"), _given("password")]})

    role: Role | None = None
    password: Password | None = None


@router.patch("/api/users/{user_id}", **documents.REVISE)
async def revise_user(
    user_id: UserId, body: RevisedUser, ctx: Ctx, ask: Ask, who: Annotated[Principal, allow(Role.HEAD)]
) -> Response:
    """Another role, or a new password for somebody who has none or forgot it."""
    if body.role is None and body.password is None:
        raise Invalid("Nothing to change: name a role or a password.")
    hashed = await hash_password(body.password.get_secret_value()) if body.password else None

    async def work(connection: Connection, new_id: NewId) -> Committed:
        await handlers.revise(
            connection, user_id, role=body.role, password_hash=hashed, cause=ask.cause(who), new_id=new_id
        )
        return Committed(await _shown(connection, user_id))

    return await perform(ctx, who, ask, _fingerprint(ctx, body), work)


def _fingerprint(ctx: Context, body: NewUser | RevisedUser) -> dict[str, Any]:
    """What was asked, the password only as a keyed digest: it can neither be read nor guessed from what is kept."""
    password = body.password.get_secret_value() if body.password else ""
    return body.model_dump(mode="json", exclude={"password"}) | {
        "password": digest_of(password, ctx.settings.jwt_secret)
    }


async def _shown(connection: Connection, user_id: int) -> dict[str, Any]:
    row = await sql.get(connection, user_id)
    assert row is not None
    return {
        "user_id": row["user_id"],
        "name": row["name"],
        "email": row["email"],
        "role": row["role"],
        "department": row["department"],
        "created_at": instant_text(row["created_at"]),
    }


def _signed_in(ctx: Context, row: Any, password_version: int) -> dict[str, Any]:
    principal = Principal(row["user_id"], Role(row["role"]), row["name"], row["email"], password_version)
    token = issue_user_token(principal, ctx.settings.jwt_secret.get_secret_value())
    return {
        "token": token,
        "user": {"user_id": row["user_id"], "role": row["role"], "name": row["name"], "email": row["email"]},
    }
