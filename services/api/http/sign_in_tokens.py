"""Check the sign-in tokens of requests. A signature check costs more than most responses, so its result is cached.

Placewire signs its tokens with ``JWT_SECRET`` (HS256). Tokens signed with ``JWT_SECRET_PREVIOUS`` are still valid. With
``JWT_JWKS_URL``, tokens of another issuer are valid too (RS256, same claims). A key only works with its own algorithm.
"""

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt

from chassis.errors import Unauthenticated
from chassis.tokens import ALGORITHM, CLOCK_SKEW_S, USER_TOKEN_S, Principal, principal_of, read_user_token
from services.api.http import issuer_keys
from services.api.http.issuer_keys import IssuerKey, IssuerKeys

# The limit on cached tokens. The oldest are removed first. A removed token is checked again when it is sent again.
MAX_REMEMBERED = 20_000


# User, expiry (Unix time, seconds), and the key that must still be trusted.
_CheckedToken = tuple[Principal, float, IssuerKey | None]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Another issuer of tokens. Without ``name``, any ``iss`` is valid. Without ``audience``, ``aud`` is refused."""

    keys: IssuerKeys
    name: str | None = None
    audience: str | None = None


class Tokens:
    def __init__(self, *secrets: str, issuer: Issuer | None = None) -> None:
        self._secrets = secrets
        self._issuer = issuer
        self._valid: dict[str, _CheckedToken] = {}

    async def read(self, authorization: str | None) -> Principal:
        """Return the user of the token in an Authorization header. Raises ``Unauthenticated`` if it is not valid.

        The user's role and password may have changed since the token was issued.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("No token")
        known = self._valid.get(token)
        if known is None:
            known = await self._check(token)
        principal, until, key = known
        if time.time() >= until or (key is not None and not key.trusted):
            self._valid.pop(token, None)
            raise Unauthenticated("Invalid token")
        return principal

    def forget(self, user_ids: Collection[int]) -> None:
        """Remove these users' tokens and all expired tokens from the cache."""
        now = time.time()
        self._valid = {
            token: (principal, until, key)
            for token, (principal, until, key) in self._valid.items()
            if until > now and principal.user_id not in user_ids
        }

    async def is_valid(self, authorization: bytes) -> bool:
        """Return whether an Authorization header has a valid token."""
        try:
            await self.read(authorization.decode("latin-1"))
        except Unauthenticated:
            return False
        return True

    async def _check(self, token: str) -> _CheckedToken:
        header = _header(token)
        checked: _CheckedToken
        if self._issuer is not None and header.get("alg") == issuer_keys.ALGORITHM:
            checked = await self._check_issuer_token(self._issuer, token, header.get("kid"))
        # Our own tokens have no key id, so a token with one is from another issuer.
        elif header.get("alg") == ALGORITHM and "kid" not in header:
            checked = self._check_own_token(token)
        else:
            raise Unauthenticated("Invalid token")
        if len(self._valid) >= MAX_REMEMBERED:
            del self._valid[next(iter(self._valid))]
        self._valid[token] = checked
        return checked

    def _check_own_token(self, token: str) -> tuple[Principal, float, None]:
        for secret in self._secrets:
            with suppress(Unauthenticated):
                return (*read_user_token(token, secret), None)
        raise Unauthenticated("Invalid token")

    async def _check_issuer_token(self, issuer: Issuer, token: str, kid: object) -> tuple[Principal, float, IssuerKey]:
        key = await issuer.keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unauthenticated("Invalid token")
        try:
            claims = jwt.decode(
                token, key.public, [issuer_keys.ALGORITHM],
                audience=issuer.audience, issuer=issuer.name, leeway=CLOCK_SKEW_S,
                options={"require": ["exp", "iat"]},
            )  # fmt: skip
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("Invalid token") from error
        # ``AccessChanges`` covers the lifetime of our own tokens, so no other token may be valid for longer.
        until = min(float(claims["exp"]), float(claims["iat"]) + USER_TOKEN_S)
        return principal_of(claims), until, key


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise Unauthenticated("Invalid token") from error
