"""Around every request: whether there is room for it, its correlation id, its metrics, a limit on its body, HEAD, and
what browsers must not do."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from uuid import UUID

import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from chassis import telemetry
from chassis.problems import problem
from services.api.limits import Admission

CORRELATION_HEADER = b"x-correlation-id"
MIB = 1024 * 1024
MAX_BODY_BYTES = MIB
# Read before anyone has looked at who is calling: a sign-in, and nothing that could fill the memory.
MAX_BYTES_OF_A_STRANGER = 64 * 1024
IMPORT_PATH = "/api/students/import"
# A PDF of 25 MiB in its form, and the ids of a million students.
LARGER = {"/api/drives": 27 * MIB}
PUBLISH_SUFFIX, PUBLISH_MAX_BYTES = "/publish", 16 * MIB

# Asked by who must know how it is, however much there is to do.
HEALTH = frozenset({"/livez", "/readyz", "/metrics"})

# The label of a metric must not be the caller's to invent.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# There from the start: the first error after one counts, too.
ANSWERS = {digit: telemetry.HTTP_ANSWERS.labels(f"{digit}xx") for digit in range(1, 6)}

SECURITY = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
# Pages are not shown inside others' pages, nor hold plug-ins; what scripts they load is theirs to say.
PAGE_SECURITY = [
    (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'self'; object-src 'none'"),
    (b"x-frame-options", b"DENY"),
]


class TooLarge(BaseException):
    """The body went on past its limit. No ``Exception``: FastAPI takes each of those for a body it cannot parse."""


class TooLargeForAStranger(BaseException):
    """The body went on, and nobody is signed in."""


class HeadAnswered(Exception):
    """A HEAD request has all it gets: the rest of an endless answer is not made."""


class RequestScope:
    """Pure ASGI: a middleware class of Starlette's would put a task and a queue between, and break streaming."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        import_max_bytes: int,
        is_signed_in: Callable[[bytes], Awaitable[bool]],
        admission: Admission,
        route_paths: Mapping[int, str],
    ) -> None:
        """``is_signed_in`` judges an Authorization header, without asking the database.

        ``route_paths``: of ``full_paths``.
        """
        self._app = app
        self._admission = admission
        self._is_signed_in = is_signed_in
        self._route_paths = route_paths
        self._import_max_bytes = import_max_bytes
        telemetry.HTTP_IN_HAND.set_function(lambda: admission.in_hand)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        correlation_id = _correlation_id(headers.get(CORRELATION_HEADER))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        # Not unbound: the server runs each request in a task, and so a context, of its own.
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        added = [(CORRELATION_HEADER, correlation_id.encode()), *SECURITY]
        method = scope["method"]
        status = 500
        began = time.perf_counter()
        admitted = scope["path"] in HEALTH or self._admission.enter()
        holds = admitted and scope["path"] not in HEALTH

        async def answered(message: Message) -> None:
            nonlocal status, holds
            if message["type"] == "http.response.start":
                status = message["status"]
                if holds:  # what streams from now on may do so for hours
                    holds = False
                    self._admission.leave()
                headers = message["headers"]
                # Not added to in place: they may be those of an answer that is kept for others.
                message["headers"] = [*headers, *added, *PAGE_SECURITY] if _is_page(message) else [*headers, *added]
            await send(message)

        try:
            app = await self._judged(scope, headers) if admitted else _too_busy()
            await (_head(app) if method == "HEAD" else app)(scope, receive, answered)
        finally:
            if holds:
                self._admission.leave()
            route = self._route_paths.get(id(scope.get("route")), "unknown")
            _series(method if method in METHODS else "other", route, status).observe(time.perf_counter() - began)
            ANSWERS[status // 100].inc()

    async def _judged(self, scope: Scope, headers: Mapping[bytes, bytes]) -> ASGIApp:
        # Without one of these fields, or with a length of 0, there is no body (RFC 9112, section 6.3).
        if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
            return self._app
        return await self._refusal(scope, headers) or self._within_limit

    def _limit(self, scope: Scope) -> int:
        path: str = scope["path"]
        if path == IMPORT_PATH:
            return self._import_max_bytes
        return PUBLISH_MAX_BYTES if path.endswith(PUBLISH_SUFFIX) else LARGER.get(path, MAX_BODY_BYTES)

    async def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> ASGIApp | None:
        content_length = headers.get(b"content-length")
        if content_length is None:
            return None
        if not content_length.isdigit():
            return problem(400, "The Content-Length is not a number.")
        if int(content_length) > self._limit(scope):
            return _too_large(self._limit(scope))
        if int(content_length) > MAX_BYTES_OF_A_STRANGER and not await self._is_signed_in(
            headers.get(b"authorization", b"")
        ):
            return _sign_in_first()
        return None

    async def _within_limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit(scope)
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        checked = False
        got = 0

        async def counted() -> Message:
            nonlocal got, checked
            message = await receive()
            got += len(message.get("body", b""))
            if got > limit:
                raise TooLarge
            if got > MAX_BYTES_OF_A_STRANGER and not checked:
                checked = await self._is_signed_in(authorization)
                if not checked:
                    raise TooLargeForAStranger
            return message

        try:
            await self._app(scope, counted, send)
        except TooLarge:
            await _too_large(limit)(scope, receive, send)
        except TooLargeForAStranger:
            await _sign_in_first()(scope, receive, send)


def full_paths(app: FastAPI) -> dict[int, str]:
    """Return the whole path template of each route by the route's identity: its own lacks an outer router's prefix."""
    return {
        id(context.original_route): context.path
        for context in iter_route_contexts(app.routes)
        if context.path is not None
    }


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
    return problem(413, f"The request is too large: at most {limit // MIB} MiB are accepted here.")


def _too_busy() -> ASGIApp:
    message = "Too much is asked of the service right now. Nothing was done; please try again."
    return problem(503, message, headers={"Retry-After": "1"})


def _sign_in_first() -> ASGIApp:
    return problem(401, "Sign in before sending so much.", headers={"WWW-Authenticate": "Bearer"})


@cache
def _series(method: str, route: str, status: int) -> Histogram:
    """Looked up once each: as many as there are routes, methods and statuses."""
    return telemetry.HTTP_REQUESTS.labels(method, route, status)


def _correlation_id(given: bytes | None) -> str:
    if given is not None:
        with suppress(ValueError):
            return str(UUID(given.decode()))
    return str(uuid7())
