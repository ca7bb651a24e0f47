"""Links to uploaded files that open without a sign-in, for a while: the frontend opens them in a new tab."""

import hmac
import time
from hashlib import sha256

HOUR_S = 3600
# A link lives one to two hours: expiry on whole hours keeps answers, and so their ETags, the same in between.
LIFE_HOURS = 2


class Links:
    """Signs and checks paths below ``/uploads/``. Signatures hold no character that ``encodeURI`` would change."""

    def __init__(self, secret: str) -> None:
        self._key = sha256(b"placewire links " + secret.encode()).digest()

    def sign(self, path: str, *, now: float | None = None) -> str:
        """``path`` with ``exp`` (Unix time, seconds) and ``sig``."""
        hour = int(time.time() if now is None else now) // HOUR_S
        expires = (hour + LIFE_HOURS) * HOUR_S
        return f"{path}?exp={expires}&sig={self._signature(path, expires)}"

    def holds(self, path: str, expires: int, signature: str, *, now: float | None = None) -> bool:
        if expires < (time.time() if now is None else now):
            return False
        return hmac.compare_digest(self._signature(path, expires).encode(), signature.encode(errors="replace"))

    def _signature(self, path: str, expires: int) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), sha256).hexdigest()
