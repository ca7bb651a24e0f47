"""Signed links to uploaded files and to the events of a job. They work without a token, for a limited time."""

import hmac
import time
from hashlib import sha256

HOUR_S = 3600
# A link is valid for one to two hours. It expires on a whole hour, so that responses and ETags change only hourly.
LIFE_HOURS = 2


class Links:
    """Signs and checks paths. Signatures have no characters that ``encodeURI`` would change."""

    def __init__(self, secret: str, *previous: str) -> None:
        """``previous``: earlier secrets whose links are still valid."""
        self._key, *self._previous = (
            sha256(b"placewire links " + text.encode()).digest() for text in (secret, *previous)
        )

    def sign(self, path: str, *, now: float | None = None) -> str:
        """Return ``path`` with ``exp`` (Unix time, seconds) and ``sig``."""
        hour = int(time.time() if now is None else now) // HOUR_S
        expires = (hour + LIFE_HOURS) * HOUR_S
        return f"{path}?exp={expires}&sig={_signature(self._key, path, expires)}"

    def sign_briefly(self, path: str, *, life_s: int, now: float | None = None) -> str:
        """Return ``path``, which must have a query, with ``exp`` (``life_s`` seconds from now) and ``sig``."""
        expires = int(time.time() if now is None else now) + life_s
        return f"{path}&exp={expires}&sig={_signature(self._key, path, expires)}"

    def is_valid(self, path: str, expires: int, signature: str, *, now: float | None = None) -> bool:
        if expires < (time.time() if now is None else now):
            return False
        sent = signature.encode(errors="replace")
        return any(
            hmac.compare_digest(_signature(key, path, expires).encode(), sent) for key in (self._key, *self._previous)
        )


def _signature(key: bytes, path: str, expires: int) -> str:
    return hmac.new(key, f"{path}\n{expires}".encode(), sha256).hexdigest()
