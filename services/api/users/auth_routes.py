"""Routes for signing in and for changing one's own password."""

from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import Field, SecretStr

from chassis.errors import Forbidden, Invalid, NotFound, Unauthenticated
from chassis.eventstore.event_store import Cause, NewId
from chassis.http.responses import json_response
from chassis.observability import metrics
from chassis.postgres.database import Connection
from chassis.tokens import Principal, issue_user_token
from contracts.users import Role
from services.api.context import Context, ContextDep
from services.api.http.access import ENDED, PUBLIC, SIGNED_IN_BEFORE, AccessFirstRoute, changing_access
from services.api.http.body_limits import MAX_UNAUTHENTICATED_BODY
from services.api.http.client_address import source_of
from services.api.http.commands import CommandContextDep, CommandResult, execute_command, ids_under
from services.api.http.fields import Password, RequestBody, trimmed
from services.api.http.idempotency_keys import fingerprints_of, stored_fingerprint
from services.api.users import handlers, links, openapi, sql
from services.api.users.passwords import encoded, hash_password, is_password
from services.api.users.throttle import Throttle

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/auth", tags=["users"])

ACCEPTED, REFUSED = metrics.LOGINS.labels("accepted"), metrics.LOGINS.labels("refused")


class Login(RequestBody):
    email: str = Field(default="", max_length=320)
    password: SecretStr = Field(default=SecretStr(""), max_length=1024)


@router.post("/login", dependencies=[PUBLIC], max_body_size=MAX_UNAUTHENTICATED_BODY, **openapi.LOGIN)
async def login(request: Request, ctx: ContextDep, body: Annotated[Login | None, Body()] = None) -> Response:
    """Return ``{token, user}``. 401 for an unknown address, a wrong or missing password; 429 after too many failures.

    A deactivated account gets the same response as a wrong password.
    """
    throttle: Throttle = request.app.state.throttle
    source = source_of(request)
    with throttle.place(source):
        async with ctx.database.connection() as connection:
            row = await sql.by_email(connection, trimmed(body.email if body else ""))
        password = body.password if body else SecretStr("")
        if not await _is_correct(throttle, source, row, password) or not row["active"]:
            throttle.failed(row["account"], source)
            REFUSED.inc()
            raise Unauthenticated("Invalid credentials")
    throttle.succeeded(row["account"], source)
    ACCEPTED.inc()
    return json_response(_signed_in(ctx, row))


class NewPassword(RequestBody):
    current_password: SecretStr = Field(max_length=1024)
    new_password: Password


@router.post("/password", **openapi.PASSWORD)
async def change_password(
    request: Request,
    body: NewPassword,
    ctx: ContextDep,
    command_context: CommandContextDep,
    caller: Annotated[Principal, SIGNED_IN_BEFORE],
) -> Response:
    """Change the caller's password. Earlier tokens become invalid. The response has a new token, as after a sign-in.

    409 when another request changed the password at the same moment. A repeated request with the Idempotency-Key of a
    completed change may use the earlier token.
    """
    content = {name: encoded(getattr(body, name)) for name in NewPassword.model_fields}
    current_hash, new_hash = None, ""
    if not await _is_repeated(ctx, command_context, caller, content):
        current_hash = await _check_current_password(request, ctx, body, caller)
        new_hash = await hash_password(body.new_password.get_secret_value(), source_of(request))

    async def handle(connection: Connection, new_id: NewId) -> CommandResult:
        if current_hash is None:  # the stored response has just expired
            raise Unauthenticated("Invalid token")
        await handlers.set_password(
            connection, caller.user_id, new_hash, command_context.cause(caller), new_id, checked=current_hash
        )
        row = await sql.get(connection, caller.user_id)
        assert row is not None
        account = {name: row[name] for name in ("user_id", "name", "email", "role", "password_version")}
        return CommandResult(account, people=(caller.user_id,))

    with changing_access(request):
        return await execute_command(
            ctx, caller, command_context, content, handle, complete=lambda account: _signed_in(ctx, account)
        )


class AcceptedInvitation(RequestBody):
    token: str = Field(max_length=1024, examples=["0" * 64])
    password: Password


@router.post("/accept-invitation", dependencies=[PUBLIC], max_body_size=MAX_UNAUTHENTICATED_BODY, **openapi.ACCEPT)
async def accept_invitation(request: Request, ctx: ContextDep, body: AcceptedInvitation) -> Response:
    """Set the password of an account with the token of a link, and sign in.

    A link works once, for seven days. 404 for an unknown token, 410 for one that was used or has expired.
    """
    throttle: Throttle = request.app.state.throttle
    source = source_of(request)
    with throttle.place(source):
        # The password is hashed first, so that an unknown token takes as long as a valid one.
        hashed = await hash_password(body.password.get_secret_value(), source)
        cause = Cause(source="api", correlation_id=UUID(request.state.correlation_id))
        try:
            with changing_access(request):
                async with ctx.database.transaction() as connection:
                    user_id = await links.accept(connection, body.token, hashed, cause)
                    row = await sql.get(connection, user_id)
        except (NotFound, Invalid):
            throttle.failed(None, source)
            raise
    assert row is not None
    throttle.succeeded(row["account"], source)
    return json_response(_signed_in(ctx, row))


async def _is_correct(throttle: Throttle, source: str, row: asyncpg.Record, password: SecretStr) -> bool:
    """Return whether a password is correct. Raises ``Throttled`` at the limits, also after waiting for a turn."""
    account = row["account"]
    async with throttle.turn(account, source):
        return await is_password(
            password.get_secret_value(), row["password_hash"], source, before=lambda: throttle.check(account, source)
        )


async def _is_repeated(
    ctx: Context, command_context: CommandContextDep, caller: Principal, content: dict[str, str]
) -> bool:
    """Return whether the caller's key has stored this change. If not, raise ``Unauthenticated`` for an ended token."""
    fingerprint = None
    if command_context.key is not None:
        name = (caller.user_id, command_context.route, command_context.key)
        async with ctx.database.connection() as connection:
            fingerprint = await stored_fingerprint(connection, name, ids_under(name)(0))
    if fingerprint in fingerprints_of(content, ctx.settings.jwt_secrets):
        return True
    if caller.password_version == ENDED:
        raise Unauthenticated("Invalid token")
    return False


async def _check_current_password(request: Request, ctx: Context, body: NewPassword, caller: Principal) -> str:
    """Check the current password and return its stored hash. Raises ``Forbidden`` when the password is wrong."""
    throttle: Throttle = request.app.state.throttle
    source = source_of(request)
    with throttle.place(source):
        async with ctx.database.connection() as connection:
            row = await sql.get(connection, caller.user_id)
        if row is None:
            raise NotFound(handlers.NO_USER)
        if not await _is_correct(throttle, source, row, body.current_password):
            throttle.failed(row["account"], source)
            raise Forbidden("The current password is wrong.")
    throttle.succeeded(row["account"], source)
    return str(row["password_hash"])


def _signed_in(ctx: Context, row: Any) -> dict[str, Any]:
    principal = Principal(row["user_id"], Role(row["role"]), row["name"], row["email"], row["password_version"])
    token = issue_user_token(principal, ctx.settings.jwt_secret.get_secret_value())
    return {
        "token": token,
        "user": {"user_id": row["user_id"], "role": row["role"], "name": row["name"], "email": row["email"]},
    }
