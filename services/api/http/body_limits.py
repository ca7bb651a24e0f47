"""Limits on the size of request bodies, declared with FastAPI's ``max_body_size``. Errors are problem documents."""

from fastapi import Request
from fastapi.responses import Response
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY, RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.http.problems import problem

KIB = 1024
MIB = 1024 * KIB
# The default for routes that declare no limit.
MAX_BODY = MIB
# Public routes read bodies of unauthenticated callers, so these must be small.
MAX_UNAUTHENTICATED_BODY = 64 * KIB
# A PDF of 25 MiB, and the form around it.
MAX_DRIVE_FORM = 27 * MIB
# The ids of a million students.
MAX_PUBLICATION = 16 * MIB


class BodyLimits:
    """Applies ``MAX_BODY`` to ``app``, or the ``max_body_size`` of the matching route.

    Starlette responds in plain text; this class sends a problem document instead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._limited = RequestBodyLimitMiddleware(app, max_body_size=MAX_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_plain_413(message):
                replaced = True
                await _too_large(scope)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._limited(scope, receive, send_problem)


def too_large(request: Request, _error: Exception) -> Response:
    """Handle a 413 raised while a route reads its body."""
    return _too_large(request.scope)


def _too_large(scope: Scope) -> Response:
    limit: int = scope.get(MAX_BODY_SIZE_SCOPE_KEY, MAX_BODY)
    shown = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // KIB} KiB"
    return problem(413, f"The request is too large: at most {shown} are accepted here.")


def _is_plain_413(message: Message) -> bool:
    plain = any(name == b"content-type" and value.startswith(b"text/plain") for name, value in message["headers"])
    return message["status"] == 413 and plain
