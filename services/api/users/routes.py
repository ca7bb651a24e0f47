"""Routes for user accounts."""

from typing import Annotated, Any

import asyncpg
import structlog
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, WithJsonSchema

from chassis.database import Connection
from chassis.errors import Invalid
from chassis.event_store import NewId
from chassis.identity import Principal
from chassis.responses import json_response
from contracts.users import Role
from services.api.access import AccessFirstRoute, allow, changing_access
from services.api.commands import Ask, Committed, perform
from services.api.context import Context, Ctx
from services.api.fields import MAX_INTEGER, NO_NUL, RequestBody
from services.api.personal_data.access_log import Accesses, AccessLog, Reading
from services.api.presentation import instant_text
from services.api.users import documents, handlers, links, sql
from services.api.users.decider import DETAILS, CreateUser, ReviseUser, SetActivity
from services.api.users.fields import Department, Email, Name, Password
from services.api.users.passwords import encoded, hash_password

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/users", tags=["users"])

UserId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
Sought = Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_NUL)]

log = structlog.get_logger()


class NewUser(RequestBody):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: Name
    email: Email
    role: Annotated[Role, WithJsonSchema({"enum": [role for role in Role if role is not Role.STUDENT]})]
    password: Password
    department: Department | None = None


@router.post("", **documents.CREATE)
async def create_user(body: NewUser, ctx: Ctx, ask: Ask, who: Annotated[Principal, allow(Role.HEAD)]) -> Response:
    """An account for staff, a coordinator or a head. 409 when the address is taken."""
    if body.role is Role.STUDENT:
        raise Invalid("Students are enrolled with POST /api/students, because they need a roll number.")
    hashed = await hash_password(body.password.get_secret_value())

    async def work(connection: Connection, new_id: NewId) -> Committed:
        command = CreateUser(**body.model_dump(exclude={"password"}))
        user_id = await handlers.create(connection, command, hashed, ask.cause(who), new_id)
        return Committed(await _shown(connection, user_id), status=201, people=(user_id,))

    return await perform(ctx, who, ask, asked_by(body), work)


@router.get("", **documents.LIST)
async def list_users(
    ctx: Ctx,
    _who: Annotated[Principal, allow(Role.HEAD)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=MAX_INTEGER, description="the last user_id of the page before")] = 0,
    search: Sought = None,
    role: Role | None = None,
) -> Response:
    """Accounts of the placement cell by id, a page at a time; students have their own list."""
    async with ctx.database.connection() as connection:
        rows = await sql.list_page(connection, after=after, limit=limit, role=role, search=search)
    return json_response([_account(row) for row in rows])


# At least one field that changes something. Null is no role and no password.
ONE_CHANGE: list[JsonValue] = [
    {"required": ["role"], "properties": {"role": {"type": "string"}}},
    {"required": ["password"], "properties": {"password": {"type": "string"}}},
    {"required": ["name"]},
    {"required": ["email"]},
    {"required": ["department"]},
]


class RevisedUser(RequestBody):
    """Changes of an account: only the fields sent. Null clears the department, and changes no role or password."""

    model_config = ConfigDict(str_strip_whitespace=True, json_schema_extra={"anyOf": ONE_CHANGE})

    role: Role | None = None
    password: Password | None = None
    name: Name = Field(default_factory=str)
    email: Email = Field(default_factory=str)
    department: Department | None = None

    def details(self) -> dict[str, Any]:
        return self.model_dump(include=set(DETAILS) & self.model_fields_set)


@router.patch("/{user_id}", **documents.REVISE)
async def revise_user(
    user_id: UserId,
    body: RevisedUser,
    request: Request,
    ctx: Ctx,
    ask: Ask,
    accesses: Accesses,
    who: Annotated[Principal, allow(Role.HEAD)],
) -> Response:
    """Correct the name, e-mail address or department, change the role, or set a new password."""
    details = body.details()
    if body.role is None and body.password is None and not details:
        raise Invalid("Nothing to change: send a role, a password, a name, an e-mail address or a department.")
    hashed = await hash_password(body.password.get_secret_value()) if body.password else None
    command = ReviseUser(by=who.user_id, role=body.role, new_password=hashed is not None, details=details)

    async def work(connection: Connection, new_id: NewId) -> Committed:
        await handlers.revise(connection, user_id, command, hashed, ask.cause(who), new_id)
        return Committed(await _shown_to(connection, user_id, who, accesses), people=(user_id,))

    with changing_access(request):
        return await perform(ctx, who, ask, asked_by(body), work)


@router.post("/{user_id}/deactivate", **documents.DEACTIVATE)
async def deactivate(
    user_id: UserId,
    request: Request,
    ctx: Ctx,
    ask: Ask,
    accesses: Accesses,
    who: Annotated[Principal, allow(Role.HEAD)],
) -> Response:
    """End an account's access: it cannot sign in, and a student is no longer selected. Nothing is deleted."""
    with changing_access(request):
        return await _set_activity(ctx, ask, who, accesses, user_id, active=False)


@router.post("/{user_id}/reactivate", **documents.REACTIVATE)
async def reactivate(
    user_id: UserId,
    request: Request,
    ctx: Ctx,
    ask: Ask,
    accesses: Accesses,
    who: Annotated[Principal, allow(Role.HEAD)],
) -> Response:
    """Let a deactivated account sign in again, with its previous password. Earlier tokens stay invalid."""
    with changing_access(request):
        return await _set_activity(ctx, ask, who, accesses, user_id, active=True)


async def _set_activity(
    ctx: Context, ask: Ask, who: Principal, accesses: AccessLog, user_id: int, *, active: bool
) -> Response:
    async def work(connection: Connection, new_id: NewId) -> Committed:
        command = SetActivity(by=who.user_id, active=active)
        await handlers.set_activity(connection, user_id, command, ask.cause(who), new_id)
        return Committed(await _shown_to(connection, user_id, who, accesses), people=(user_id,))

    return await perform(ctx, who, ask, {"active": active}, work)


@router.post("/{user_id}/password-link", **documents.LINK)
async def issue_password_link(
    user_id: UserId, request: Request, ctx: Ctx, who: Annotated[Principal, allow(Role.HEAD, Role.COORDINATOR)]
) -> Response:
    """Create a link that sets a new password, once, within seven days. Coordinators: for students only.

    Only this response shows the link. It replaces the previous one, and a repeated request creates another.
    """
    async with ctx.database.transaction() as connection:
        link = await links.issue(connection, user_id, who.role)
    log.info("password_link.issued", user_id=user_id, by=who.user_id)
    url = links.base_of(request, ctx.settings.public_url) + link.token
    return json_response({"user_id": user_id, "url": url, "expires_at": instant_text(link.expires_at)}, 201)


def asked_by(body: BaseModel) -> dict[str, Any]:
    """Return the complete request for its fingerprint, which is a keyed digest."""
    password: SecretStr | None = getattr(body, "password", None)
    asked = body.model_dump(mode="json", exclude={"password"}, exclude_unset=True)
    return asked | {"password": encoded(password) if password else ""}


async def _shown_to(connection: Connection, user_id: int, who: Principal, accesses: AccessLog) -> dict[str, Any]:
    """Return the account, and record that ``who`` is shown it if it is a student's."""
    account = await _shown(connection, user_id)
    if account["role"] == Role.STUDENT:
        await accesses.in_command(connection, who, Reading.ACCOUNT_CHANGED, user_id)
    return account


async def _shown(connection: Connection, user_id: int) -> dict[str, Any]:
    row = await sql.get(connection, user_id)
    assert row is not None
    return _account(row)


def _account(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "user_id": row["user_id"],
        "name": row["name"],
        "email": row["email"],
        "role": row["role"],
        "department": row["department"],
        "active": row["active"],
        "created_at": instant_text(row["created_at"]),
    }
