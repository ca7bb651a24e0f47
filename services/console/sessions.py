"""The sign-in cookie, which holds the person's token for the public API, encrypted.

Scripts cannot read the cookie (HttpOnly). Browsers do not send it with forms of other sites (SameSite=Lax). With TLS
its name begins with ``__Host-``, so that no other host can set it.
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, field

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import Request
from starlette.responses import Response

from contracts.users import Role

# Longer than the API's tokens are valid, so that the API decides when a sign-in ends.
LIFE_S = 12 * 3600
NAME = "placewire"
SECURE_NAME = "__Host-placewire"


@dataclass(frozen=True, slots=True)
class SignedInUser:
    user_id: int
    role: Role
    name: str
    email: str
    token: str = field(repr=False)


class Sessions:
    """Reads and writes the cookie. ``secrets``: the current one first, then earlier ones."""

    def __init__(self, secrets: list[str], *, public_url: str | None = None) -> None:
        self._cipher = MultiFernet([Fernet(urlsafe_b64encode(_key(secret, b"cookie"))) for secret in secrets])
        self._form_key = _key(secrets[0], b"forms")
        self._only_tls = (public_url or "").startswith("https://")

    def read(self, request: Request) -> SignedInUser | None:
        """Return who is signed in. ``None``: the cookie is missing, expired, or encrypted with an unknown secret."""
        encrypted = request.cookies.get(SECURE_NAME if self.secure(request) else NAME)
        if not encrypted:
            return None
        try:
            fields = orjson.loads(self._cipher.decrypt(encrypted.encode(), ttl=LIFE_S))
        except (InvalidToken, ValueError):
            return None
        return SignedInUser(**{**fields, "role": Role(fields["role"])})

    def write(self, request: Request, response: Response, user: SignedInUser) -> None:
        """Set the cookie that signs ``user`` in."""
        self._set(request, response, self._encrypted(user), LIFE_S)

    def cookie(self, user: SignedInUser, *, secure: bool) -> str:
        """Return the Cookie header of ``user``, for a client that is no browser."""
        return f"{SECURE_NAME if secure else NAME}={self._encrypted(user)}"

    def clear(self, request: Request, response: Response) -> None:
        """Delete the cookie."""
        self._set(request, response, "", 0)

    def secure(self, request: Request) -> bool:
        """Return whether the browser's connection, to the console or to the gateway, uses TLS."""
        scheme = request.headers.get("x-forwarded-proto", request.scope["scheme"])
        return self._only_tls or scheme == "https"

    def form_token(self, user: SignedInUser | None) -> str:
        """Return the token that each form of ``user`` must contain. It stays the same when they sign in again."""
        return hmac.digest(self._form_key, str(user.user_id if user else "").encode(), "sha256").hex()[:32]

    def is_form_token(self, token: str, user: SignedInUser | None) -> bool:
        return hmac.compare_digest(token.encode(), self.form_token(user).encode())

    def derived(self, text: str) -> str:
        """Return a password that cannot be guessed, the same for the same ``text``."""
        return hmac.digest(self._form_key, b"derived " + text.encode(), "sha256").hex()

    def _encrypted(self, user: SignedInUser) -> str:
        return self._cipher.encrypt(orjson.dumps(asdict(user))).decode()

    def _set(self, request: Request, response: Response, value: str, life_s: int) -> None:
        secure = self.secure(request)
        response.set_cookie(
            SECURE_NAME if secure else NAME,
            value,
            max_age=life_s,
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )


def _key(secret: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"placewire console " + purpose).derive(secret.encode())
