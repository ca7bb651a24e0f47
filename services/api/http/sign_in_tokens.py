"""Check the sign-in tokens of requests. A signature check costs more than most responses, so its result is cached.

Placewire's tokens are signed with ``JWT_SECRET`` (HS256); those of ``JWT_SECRET_PREVIOUS`` are still valid. With
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

# The limit on remembered valid tokens. The oldest are removed first, and checked again when they are sent again.
MAX_REMEMBERED = 20_000


# User, expiry (Unix time, seconds), and the key that must still be trusted.
_CheckedToken = tuple[Principal, float, IssuerKey | None]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Another issuer of tokens. ``name`` ``None``: any ``iss``. ``audience`` ``None``: only tokens without ``aud``."""

    keys: IssuerKeys
    name: str | None = None
    audience: str | None = None


class Tokens:
    def __init__(self, *secrets: str, issuer: Issuer | None = None) -> None:
        self._secrets = secrets
        self._issuer = issuer
        self._valid: dict[str, _CheckedToken] = {}

    async def read(self, authorization: str | None) -> Principal:
        """Return the user whose token an Authorization header holds. Raises ``Unauthenticated``.

        Their role and password may have changed since the token was issued.
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
        """Forget these users' tokens, and all that have expired."""
        now = time.time()
        self._valid = {
            token: (principal, until, key)
            for token, (principal, until, key) in self._valid.items()
            if until > now and principal.user_id not in user_ids
        }

    async def is_valid(self, authorization: bytes) -> bool:
        """Return whether an Authorization header holds a valid token."""
        try:
            await self.read(authorization.decode("latin-1"))
        except Unauthenticated:
            return False
        return True

    async def _check(self, token: str) -> _CheckedToken:
        header = _header(token)
        found: _CheckedToken
        if self._issuer is not None and header.get("alg") == issuer_keys.ALGORITHM:
            found = await self._theirs(self._issuer, token, header.get("kid"))
        # Our own tokens have no key id, so a token with one is from another issuer.
        elif header.get("alg") == ALGORITHM and "kid" not in header:
            found = self._ours(token)
        else:
            raise Unauthenticated("Invalid token")
        if len(self._valid) >= MAX_REMEMBERED:
            del self._valid[next(iter(self._valid))]
        self._valid[token] = found
        return found

    def _ours(self, token: str) -> tuple[Principal, float, None]:
        for secret in self._secrets:
            with suppress(Unauthenticated):
                return (*read_user_token(token, secret), None)
        raise Unauthenticated("Invalid token")

    async def _theirs(self, issuer: Issuer, token: str, kid: object) -> tuple[Principal, float, IssuerKey]:
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
        # Access changes are remembered for the lifetime of our own tokens, so no token may live longer.
        until = min(float(claims["exp"]), float(claims["iat"]) + USER_TOKEN_S)
        return principal_of(claims), until, key


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise Unauthenticated("Invalid token") from error
