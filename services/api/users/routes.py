"""Routes for user accounts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
import structlog
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, WithJsonSchema

from chassis.errors import Invalid
from chassis.eventstore.event_store import Cause, NewId
from chassis.http.responses import json_response
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.message import MAX_INTEGER
from contracts.users import Role
from services.api.context import ContextDep
from services.api.http.access import AccessFirstRoute, Head, Organizer, changing_access
from services.api.http.commands import CommandContextDep, CommandResult, execute_command
from services.api.http.fields import NO_NUL, Department, Email, Name, Password, PathId, RequestBody
from services.api.http.presentation import instant_text
from services.api.personal_data.access_log import Accesses, AccessLog, Reading
from services.api.users import handlers, links, openapi, sql
from services.api.users.decider import DETAILS, CreateUser, ReviseUser, SetActivity
from services.api.users.passwords import encoded, hash_password

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/users", tags=["users"])


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """The parts of a request that changes an account. FastAPI fills the fields."""

    request: Request
    ctx: ContextDep
    command_context: CommandContextDep
    accesses: Accesses


AccountRequestDep = Annotated[AccountRequest, Depends()]

SearchText = Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_NUL)]

log = structlog.get_logger()


class NewUser(RequestBody):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: Name
    email: Email
    role: Annotated[Role, WithJsonSchema({"enum": [role for role in Role if role is not Role.STUDENT]})]
    password: Password
    department: Department | None = None


@router.post("", **openapi.CREATE)
async def create_user(body: NewUser, ctx: ContextDep, command_context: CommandContextDep, caller: Head) -> Response:
    """Create an account for staff, a coordinator or a head. 409 when the address is taken."""
    if body.role is Role.STUDENT:
        raise Invalid("Students are enrolled with POST /api/students, because they need a roll number.")
    hashed = await hash_password(body.password.get_secret_value())

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        command = CreateUser(**body.model_dump(exclude={"password"}))
        user_id = await handlers.create(connection, command, hashed, command_context.cause(caller), new_id)
        return CommandResult(await _user_object(connection, user_id), status=201, people=(user_id,))

    return await execute_command(ctx, caller, command_context, request_content(body), handle)


@router.get("", **openapi.LIST)
async def list_users(
    ctx: ContextDep,
    _caller: Head,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=MAX_INTEGER, description="the last user_id of the previous page")] = 0,
    search: SearchText = None,
    role: Role | None = None,
) -> Response:
    """List the accounts of the placement cell by id, a page at a time. Students have a list of their own."""
    async with ctx.database.connection() as connection:
        rows = await sql.list_page(connection, after=after, limit=limit, role=role, search=search)
    return json_response([_account(row) for row in rows])


# Requires at least one field that changes something. Null changes neither role nor password.
ONE_CHANGE: list[JsonValue] = [
    {"required": ["role"], "properties": {"role": {"type": "string"}}},
    {"required": ["password"], "properties": {"password": {"type": "string"}}},
    {"required": ["name"]},
    {"required": ["email"]},
    {"required": ["department"]},
]


class RevisedUser(RequestBody):
    """Only the fields that are sent change. Null clears the department; a null role or password changes nothing."""

    model_config = ConfigDict(str_strip_whitespace=True, json_schema_extra={"anyOf": ONE_CHANGE})

    role: Role | None = None
    password: Password | None = None
    name: Name = Field(default_factory=str)
    email: Email = Field(default_factory=str)
    department: Department | None = None

    def details(self) -> dict[str, Any]:
        return self.model_dump(include=set(DETAILS) & self.model_fields_set)


@router.patch("/{user_id}", **openapi.REVISE)
async def revise_user(user_id: PathId, body: RevisedUser, account_request: AccountRequestDep, caller: Head) -> Response:
    """Correct the name, e-mail address or department, change the role, or set a new password."""
    details = body.details()
    if body.role is None and body.password is None and not details:
        raise Invalid("Nothing to change: send a role, a password, a name, an e-mail address or a department.")
    hashed = await hash_password(body.password.get_secret_value()) if body.password else None
    command = ReviseUser(by=caller.user_id, role=body.role, new_password=hashed is not None, details=details)

    async def change(connection: Connection, cause: Cause, new_id: NewId) -> None:
        await handlers.revise(connection, user_id, command, hashed, cause, new_id)

    return await _change_account(account_request, caller, user_id, request_content(body), change)


@router.post("/{user_id}/deactivate", **openapi.DEACTIVATE)
async def deactivate(user_id: PathId, account_request: AccountRequestDep, caller: Head) -> Response:
    """End an account's access: its user cannot sign in, and a student is no longer selected. Nothing is deleted."""
    return await _set_activity(account_request, caller, user_id, active=False)


@router.post("/{user_id}/reactivate", **openapi.REACTIVATE)
async def reactivate(user_id: PathId, account_request: AccountRequestDep, caller: Head) -> Response:
    """Let a deactivated account sign in again, with its previous password. Earlier tokens stay invalid."""
    return await _set_activity(account_request, caller, user_id, active=True)


async def _set_activity(account_request: AccountRequest, caller: Principal, user_id: int, *, active: bool) -> Response:
    command = SetActivity(by=caller.user_id, active=active)

    async def change(connection: Connection, cause: Cause, new_id: NewId) -> None:
        await handlers.set_activity(connection, user_id, command, cause, new_id)

    return await _change_account(account_request, caller, user_id, {"active": active}, change)


async def _change_account(
    account_request: AccountRequest,
    caller: Principal,
    user_id: int,
    content: dict[str, Any],
    change: Callable[[Connection, Cause, NewId], Awaitable[None]],
) -> Response:
    """Execute ``change`` as a command, and return the changed account."""
    ctx, command_context = account_request.ctx, account_request.command_context

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        await change(connection, command_context.cause(caller), new_id)
        account = await _recorded_user_object(connection, user_id, caller, account_request.accesses)
        return CommandResult(account, people=(user_id,))

    with changing_access(account_request.request):
        return await execute_command(ctx, caller, command_context, content, handle)


@router.post("/{user_id}/password-link", **openapi.LINK)
async def issue_password_link(user_id: PathId, request: Request, ctx: ContextDep, caller: Organizer) -> Response:
    """Create a link that sets a new password once, within seven days. Coordinators may create links for students only.

    Only this response shows the link. The link replaces the previous one. A repeated request creates another link.
    """
    async with ctx.database.transaction() as connection:
        link = await links.issue(connection, user_id, caller.role)
    log.info("password_link.issued", user_id=user_id, by=caller.user_id)
    url = links.base_of(request, ctx.settings.public_url) + link.token
    return json_response({"user_id": user_id, "url": url, "expires_at": instant_text(link.expires_at)}, 201)


def request_content(body: BaseModel) -> dict[str, Any]:
    """Return the whole content of the request, for its fingerprint. The fingerprint is a keyed digest."""
    password: SecretStr | None = getattr(body, "password", None)
    content = body.model_dump(mode="json", exclude={"password"}, exclude_unset=True)
    return content | {"password": encoded(password) if password else ""}


async def _recorded_user_object(
    connection: Connection, user_id: int, caller: Principal, accesses: AccessLog
) -> dict[str, Any]:
    """Return the account. If it is a student's, record that ``caller`` is shown it."""
    account = await _user_object(connection, user_id)
    if account["role"] == Role.STUDENT:
        await accesses.in_command(connection, caller, Reading.ACCOUNT_CHANGED, user_id)
    return account


async def _user_object(connection: Connection, user_id: int) -> dict[str, Any]:
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
