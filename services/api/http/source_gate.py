"""Refuse the requests of a source that fails too often, before a route is looked up or a body is read."""

from collections.abc import Mapping, Sequence

from fastapi.responses import Response
from starlette.types import Scope

from chassis.errors import Throttled
from chassis.http.problems import problem
from services.api.http.client_address import Network, source
from services.api.http.limits import RateLimits
from services.api.http.sign_in_tokens import Tokens
from services.api.users.throttle import Throttle

SIGN_IN = "/api/auth/"
# Limits on 401 responses to one source. They tolerate pages that repeat requests with an expired token for a moment.
UNAUTHENTICATED_PER_SECOND = 50.0
UNAUTHENTICATED_BURST = 200
# Marks a request that ``refusal`` has counted.
COUNTED = "counted_by_gate"

Headers = Mapping[bytes, bytes]


class SourceGate:
    """Refuses sources with too many failures. Each refused request costs only a 429 response.

    A request with a valid token always passes, so that a campus behind one address is not locked out.
    """

    def __init__(self, throttle: Throttle, tokens: Tokens, trusted_proxies: Sequence[Network]) -> None:
        self._throttle = throttle
        self._tokens = tokens
        self._trusted = trusted_proxies
        self._unauthenticated = RateLimits[str](UNAUTHENTICATED_PER_SECOND, UNAUTHENTICATED_BURST)

    async def refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the 429 response, or ``None`` when the request may proceed."""
        if not scope["path"].startswith("/api/"):
            return None
        address = self._source(scope, headers)
        try:
            if scope["path"].startswith(SIGN_IN):
                self._throttle.check_place(address)
            elif not self._unauthenticated.is_full(address) and not await self._is_signed_in(headers):
                # Counted now, because many requests of a flood arrive before the first response.
                self._unauthenticated.take(address)
                scope["state"][COUNTED] = True
        except Throttled as error:
            return problem(429, str(error), headers={"Retry-After": str(error.retry_after_s)})
        return None

    def count_response(self, scope: Scope, headers: Headers, status: int) -> None:
        """Count a 401 response unless ``refusal`` has counted it. The throttle counts sign-ins."""
        if status != 401 or scope["state"].get(COUNTED):
            return
        if scope["path"].startswith("/api/") and not scope["path"].startswith(SIGN_IN):
            self._unauthenticated.count(self._source(scope, headers))

    async def _is_signed_in(self, headers: Headers) -> bool:
        return await self._tokens.is_valid(headers.get(b"authorization", b""))

    def _source(self, scope: Scope, headers: Headers) -> str:
        client = scope.get("client")
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        return source(client[0] if client else None, forwarded.decode("latin-1"), self._trusted)
