"""Around every request: its correlation id, its metrics, a limit on its body, HEAD, and what browsers must not do."""

import time
from uuid import UUID

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from chassis import telemetry
from chassis.problems import problem

CORRELATION_HEADER = b"x-correlation-id"
MAX_BODY_BYTES = 50 * 1024 * 1024
IMPORT_PATH = "/api/students/import"

# The label of a metric must not be the caller's to invent.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECURITY = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
# Pages are not shown inside others' pages, nor hold plug-ins; what scripts they load is theirs to say.
PAGE_SECURITY = [
    (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'self'; object-src 'none'"),
    (b"x-frame-options", b"DENY"),
]


class TooLarge(Exception):
    """The body went on past its limit."""


class HeadAnswered(Exception):
    """A HEAD request has all it gets: the rest of an endless answer is not made."""


class RequestScope:
    """Pure ASGI: a middleware class of Starlette's would put a task and a queue between, and break streaming."""

    def __init__(self, app: ASGIApp, *, import_max_bytes: int) -> None:
        self._app = app
        self._import_max_bytes = import_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        correlation_id = _correlation_id(headers.get(CORRELATION_HEADER))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        added = [(CORRELATION_HEADER, str(correlation_id).encode()), *SECURITY]
        method = scope["method"]
        status = 500
        began = time.perf_counter()

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += added + (PAGE_SECURITY if _is_page(message) else [])
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(correlation_id=str(correlation_id)):
                app = self._refusal(scope, headers.get(b"content-length")) or self._within_limit
                await (_head(app) if method == "HEAD" else app)(scope, receive, answered)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            label = method if method in METHODS else "other"
            telemetry.HTTP_REQUESTS.labels(label, route, status).observe(time.perf_counter() - began)

    def _limit(self, scope: Scope) -> int:
        return self._import_max_bytes if scope["path"] == IMPORT_PATH else MAX_BODY_BYTES

    def _refusal(self, scope: Scope, content_length: bytes | None) -> ASGIApp | None:
        if content_length is None:
            return None
        if not content_length.isdigit():
            return problem(400, "The Content-Length is not a number.")
        return _too_large(self._limit(scope)) if int(content_length) > self._limit(scope) else None

    async def _within_limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit(scope)
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > limit:
                raise TooLarge
            return message

        try:
            await self._app(scope, counted, send)
        except TooLarge:
            await _too_large(limit)(scope, receive, send)


def _head(app: ASGIApp) -> ASGIApp:
    """HEAD is GET without the body (RFC 9110, section 9.3.2)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b""})
            raise HeadAnswered

        scope["method"] = "GET"
        try:
            await app(scope, receive, without_body)
        except HeadAnswered:
            return

    return answer


def _is_page(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"])


def _too_large(limit: int) -> ASGIApp:
    return problem(413, f"The request is too large: at most {limit // (1024 * 1024)} MiB are accepted here.")


def _correlation_id(given: bytes | None) -> UUID:
    try:
        return UUID((given or b"").decode())
    except ValueError:
        return uuid7()
