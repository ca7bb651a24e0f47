"""Issue and verify the JWTs of signed-in users and of services that call each other."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from chassis.errors import Unauthenticated
from contracts.jobs import Service
from contracts.users import Role

ALGORITHM = "HS256"
USER_TOKEN_S = 8 * 3600
SERVICE_TOKEN_S = 60
CLOCK_SKEW_S = 10


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. ``password_version``: the number of password changes when the token was issued.

    ``None``: an external issuer issued the token. A password change here does not invalidate it.
    """

    user_id: int
    role: Role
    name: str
    email: str
    password_version: int | None


def issue_user_token(principal: Principal, secret: str) -> str:
    """Return a token that is valid for ``USER_TOKEN_S`` seconds, with the claims that the frontend expects."""
    now = int(time.time())
    claims = {
        "user_id": principal.user_id,
        "role": principal.role,
        "name": principal.name,
        "email": principal.email,
        "pwv": principal.password_version,
        "iat": now,
        "exp": now + USER_TOKEN_S,
    }
    return jwt.encode(claims, secret, ALGORITHM)


def read_user_token(token: str, secret: str) -> tuple[Principal, float]:
    """Return the token's user and its expiry (Unix time, seconds).

    Raises ``Unauthenticated`` when the token was not issued here, is malformed or has expired.
    """
    try:
        claims = jwt.decode(token, secret, [ALGORITHM], options={"require": ["exp", "iat"]})
    except jwt.InvalidTokenError as error:
        raise Unauthenticated("Invalid token") from error
    if "pwv" not in claims:
        raise Unauthenticated("Invalid token")
    return principal_of(claims), float(claims["exp"])


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """Return the user in the claims of a verified token. Raises ``Unauthenticated`` for missing or wrong claims."""
    try:
        return Principal(
            user_id=int(claims["user_id"]),
            role=Role(claims["role"]),
            name=str(claims["name"]),
            email=str(claims["email"]),
            password_version=int(claims["pwv"]) if "pwv" in claims else None,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Unauthenticated("Invalid token") from error


def issue_service_token(issuer: str, audience: Service, secret: str) -> str:
    """Return a token with which ``issuer`` may wake ``audience`` during the next ``SERVICE_TOKEN_S`` seconds."""
    now = int(time.time())
    return jwt.encode(
        {"iss": issuer, "aud": f"placewire-{audience}", "iat": now, "exp": now + SERVICE_TOKEN_S}, secret, ALGORITHM
    )


def check_service_token(token: str, audience: Service, secret: str) -> None:
    """Raise ``Unauthenticated`` unless ``token`` is for ``audience``, signed with the shared secret, and valid."""
    try:
        jwt.decode(
            token,
            secret,
            [ALGORITHM],
            audience=f"placewire-{audience}",
            leeway=CLOCK_SKEW_S,
            options={"require": ["exp", "iat", "aud"]},
        )
    except jwt.InvalidTokenError as error:
        raise Unauthenticated("Invalid service token") from error
