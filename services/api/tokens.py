"""The sign-in tokens that come with requests. Checking a signature costs more than most answers: each is done once."""

import time

import jwt

from chassis.errors import Unauthenticated
from chassis.identity import Principal, read_user_token

# Remembered at once; beyond, the first come are forgotten, and looked at again when they return.
MOST = 20_000


class Tokens:
    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._valid: dict[str, tuple[Principal, float]] = {}

    def read(self, authorization: str | None) -> Principal:
        """Whose token an Authorization header holds. Raises ``Unauthenticated``.

        What he may do, and whether his password has changed since, is not in it.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("No token")
        known = self._valid.get(token)
        if known is None:
            known = self._look(token)
        principal, until = known
        if time.time() >= until:
            self._valid.pop(token, None)
            raise Unauthenticated("Invalid token")
        return principal

    def hold(self, authorization: bytes) -> bool:
        """Is this an Authorization header with a valid token of ours?"""
        try:
            self.read(authorization.decode("latin-1"))
        except Unauthenticated:
            return False
        return True

    def _look(self, token: str) -> tuple[Principal, float]:
        principal = read_user_token(token, self._secret)
        expires = float(jwt.decode(token, options={"verify_signature": False})["exp"])
        if len(self._valid) >= MOST:
            del self._valid[next(iter(self._valid))]
        self._valid[token] = principal, expires
        return self._valid[token]
