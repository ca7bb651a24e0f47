"""Middleware of every request: admission, correlation id, metrics, body limits, HEAD, and security headers."""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from uuid import UUID

import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from chassis.http.problems import problem
from chassis.observability import metrics
from services.api.http.body_limits import BodyLimits
from services.api.http.limits import Admission
from services.api.http.source_gate import SourceGate

CORRELATION_HEADER = b"x-correlation-id"

log = structlog.get_logger()

# Health checks and metrics are served under any load.
HEALTH = frozenset({"/livez", "/readyz", "/metrics"})

# A caller must not invent values of a metric label.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Created at the start, so that the first increase is visible: a new series would begin at one.
ANSWERS = {digit: metrics.HTTP_ANSWERS.labels(f"{digit}xx") for digit in range(1, 6)}

SECURITY = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
# Pages may not be framed or contain plug-ins. Each page sets the policy for its own scripts.
PAGE_SECURITY = [
    (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'self'; object-src 'none'"),
    (b"x-frame-options", b"DENY"),
]


class HeadAnswered(Exception):
    """The response to a HEAD request is complete, so the route need not write the rest of the body."""


class ResponseAborted(Exception):
    """The rest of a response cannot be sent. The connection is closed, so the client notices."""


class RequestScope:
    """Pure ASGI middleware. Starlette's middleware class would add a task and a queue, and break streaming."""

    def __init__(self, app: ASGIApp, *, admission: Admission, route_paths: Mapping[int, str], gate: SourceGate) -> None:
        """``route_paths``: the result of ``full_paths``."""
        self._app = app
        self._route_paths = route_paths
        self._limited = BodyLimits(app)
        self._admission = admission
        self._gate = gate
        metrics.HTTP_IN_HAND.set_function(lambda: admission.in_hand)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        correlation_id = _correlation_id(headers.get(CORRELATION_HEADER))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        # No unbind is needed, because the server runs each request in its own task with its own context.
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        added = [(CORRELATION_HEADER, correlation_id.encode()), *SECURITY]
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # the server keeps the original method and sends no body
        status = 500
        began = time.perf_counter()
        refusal = await self._gate.refusal(scope, headers)
        admitted = refusal is None and (scope["path"] in HEALTH or self._admission.enter())
        holds_slot = admitted and scope["path"] not in HEALTH

        async def send_with_headers(message: Message) -> None:
            nonlocal status, holds_slot
            if message["type"] == "http.response.start":
                status = message["status"]
                if holds_slot:  # released here, because a streamed response may last for hours
                    holds_slot = False
                    self._admission.leave()
                headers = message["headers"]
                # A new list, because a cached response may share the old one.
                message["headers"] = [*headers, *added, *PAGE_SECURITY] if _is_page(message) else [*headers, *added]
            await send(message)

        try:
            app = self._app_for(headers) if admitted else refusal or _too_busy()
            await (_head(app) if method == "HEAD" else app)(scope, receive, send_with_headers)
        except ResponseAborted as error:
            log.warning("response.aborted", route=self._route_of(scope), reason=str(error))
        finally:
            if holds_slot:
                self._admission.leave()
            route = self._route_of(scope)
            self._gate.count_response(scope, headers, status)
            _series(method if method in METHODS else "other", route, status).observe(time.perf_counter() - began)
            ANSWERS[status // 100].inc()

    def _route_of(self, scope: Scope) -> str:
        return self._route_paths.get(id(scope.get("route")), "unknown")

    def _app_for(self, headers: Mapping[bytes, bytes]) -> ASGIApp:
        content_length = headers.get(b"content-length")
        # Without one of these fields, or with a length of 0, there is no body (RFC 9112, section 6.3).
        if b"transfer-encoding" not in headers and content_length in (None, b"0"):
            return self._app
        if content_length is not None and not content_length.isdigit():
            return problem(400, "The Content-Length is not a number.")
        return self._limited


def full_paths(app: FastAPI) -> dict[int, str]:
    """Return the full path template of each route, by identity. ``route.path`` lacks the prefix of an outer router."""
    return {
        id(context.original_route): context.path
        for context in iter_route_contexts(app.routes)
        if context.path is not None
    }


def _head(app: ASGIApp) -> ASGIApp:
    """Answer HEAD as GET without the body (RFC 9110, section 9.3.2)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b""})
            if message.get("more_body"):
                raise HeadAnswered

        try:
            await app(scope, receive, without_body)
        except HeadAnswered:
            return

    return answer


def _is_page(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"])


def _too_busy() -> ASGIApp:
    message = "The service has too many requests right now. Nothing was done; please try again."
    return problem(503, message, headers={"Retry-After": "1"})


@cache
def _series(method: str, route: str, status: int) -> Histogram:
    """Return the time series of a route, method and status. The cache grows to one entry per combination."""
    return metrics.HTTP_REQUESTS.labels(method, route, status)


def _correlation_id(header: bytes | None) -> str:
    if header is not None:
        with suppress(ValueError):
            return str(UUID(header.decode()))
    return str(uuid7())
