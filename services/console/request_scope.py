"""Middleware that adds the correlation id, metrics and security headers to every request."""

import time
from collections.abc import Mapping
from contextlib import suppress
from uuid import UUID

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from chassis.observability import metrics

METHODS = frozenset({"GET", "HEAD", "POST"})
# Inline scripts and styles are refused. The stylesheet holds small images as data URLs. htmx writes HTML through the
# Trusted Types policy of `static/console.js`.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types default"
)
SECURITY = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]


class RequestScope:
    """Pure ASGI, so that streams are not buffered. ``route_paths``: the path template by the ``id()`` of a route."""

    def __init__(self, app: ASGIApp, *, route_paths: Mapping[int, str]) -> None:
        self._app = app
        self._route_paths = route_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = _correlation_id(dict(scope["headers"]).get(b"x-correlation-id"))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        status = 500
        started = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(b"x-correlation-id", correlation_id.encode()), *SECURITY]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = self._route_paths.get(id(scope.get("route")), "unknown")
            metrics.HTTP_REQUESTS.labels(method, route, status).observe(time.perf_counter() - started)
            metrics.HTTP_ANSWERS.labels(f"{status // 100}xx").inc()


def _correlation_id(header: bytes | None) -> str:
    if header is not None:
        with suppress(ValueError):
            return str(UUID(header.decode()))
    return str(uuid7())
