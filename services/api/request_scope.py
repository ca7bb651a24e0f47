"""Around every request: its correlation id, its metrics, and a limit on its body."""

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


class TooLarge(Exception):
    """The body went on past its limit."""


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
        limit = self._import_max_bytes if scope["path"] == IMPORT_PATH else MAX_BODY_BYTES
        status = 500
        began = time.perf_counter()

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((CORRELATION_HEADER, str(correlation_id).encode()))
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(correlation_id=str(correlation_id)):
                if int(headers.get(b"content-length", b"0") or 0) > limit:
                    await _too_large(limit)(scope, receive, answered)
                else:
                    await self._within(limit, scope, receive, answered)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            telemetry.HTTP_REQUESTS.labels(scope["method"], route, status).observe(time.perf_counter() - began)

    async def _within(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
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


def _too_large(limit: int) -> ASGIApp:
    return problem(413, f"The request is too large: at most {limit // (1024 * 1024)} MiB are accepted here.")


def _correlation_id(given: bytes | None) -> UUID:
    try:
        return UUID((given or b"").decode())
    except ValueError:
        return uuid7()
