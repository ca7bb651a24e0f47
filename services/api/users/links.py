"""Links that set a password once: issue and accept them. The caller owns the transaction."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from fastapi import Request

from chassis.errors import Forbidden, Invalid, NotFound, RuleViolation
from chassis.eventstore.event_store import Cause, fresh_ids
from chassis.postgres.database import Connection
from contracts.exports import LINK_DAYS, LINK_PATH
from contracts.users import Role
from services.api.users import handlers, link_sql, sql
from services.api.users.decider import ERASED

HOST = re.compile(r"^[A-Za-z0-9._\[\]:-]{1,255}$")

UNKNOWN = "This link is not valid. Ask the placement cell for a new one."
USED = "This link was used already, or has been replaced. Sign in, or ask the placement cell for a new one."
EXPIRED = "This link has expired. Ask the placement cell for a new one."


@dataclass(frozen=True, slots=True)
class IssuedLink:
    """A new link. ``token`` appears in the response and is not stored."""

    token: str
    expires_at: datetime


async def issue(connection: Connection, user_id: int, by: Role) -> IssuedLink:
    """Create a link for the account, in place of the previous one.

    Raises ``NotFound``, ``Forbidden`` when ``by`` lacks the role, and ``RuleViolation`` for a deactivated account.
    """
    row = await sql.locked(connection, user_id)
    if row is None:
        raise NotFound(handlers.NO_USER)
    if by is not Role.HEAD and Role(row["role"]) is not Role.STUDENT:
        raise Forbidden("Only a head of the cell can give staff a new password.")
    if row["erased_at"] is not None:
        raise RuleViolation(ERASED)
    if not row["active"]:
        raise RuleViolation("This account is deactivated: reactivate it first.")
    token = secrets.token_hex(32)
    link = await link_sql.put(connection, user_id, digest_of(token), days=LINK_DAYS)
    return IssuedLink(token, link["expires_at"])


async def accept(connection: Connection, token: str, password_hash: str, cause: Cause) -> int:
    """Set the password of the account that ``token`` belongs to, and return its user.

    Raises ``NotFound`` for an unknown token, and ``Invalid`` (410) for a used or expired link.
    """
    digest = digest_of(token)
    link = await link_sql.find(connection, digest)
    if link is None:
        raise NotFound(UNKNOWN)
    # Lock the account before its link, as ``issue`` and a deactivation do. The other order could deadlock.
    await sql.locked(connection, link["user_id"])
    user_id = await link_sql.use(connection, digest)
    if user_id is None:
        link = await link_sql.find(connection, digest)
        if link is None:  # a new link has replaced it since
            raise NotFound(UNKNOWN)
        raise Invalid(EXPIRED if link["used_at"] is None else USED, status=410)
    cause = Cause(source=cause.source, correlation_id=cause.correlation_id, actor_id=user_id)
    await handlers.set_password(connection, user_id, password_hash, cause, fresh_ids)
    return user_id


def digest_of(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()


def base_of(request: Request, public_url: str | None) -> str:
    """Return the start of links: ``public_url``, or the address that the request was sent to.

    Raises ``Invalid`` when the request has no valid host.
    """
    if public_url is None:
        host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
        if not HOST.match(host):
            raise Invalid("The request has no valid Host header: set PUBLIC_URL.")
        scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
        public_url = f"{'https' if scheme == 'https' else 'http'}://{host}"
    return f"{public_url}{LINK_PATH}"
