"""Answer requests with a method that a path does not have, and OPTIONS."""

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import RouteContext, iter_route_contexts

from chassis.http.problems import problem


def install(app: FastAPI) -> None:
    """Answer 405 with all methods of the path in Allow (RFC 9110, section 15.5.6).

    Each method has its own route, and Starlette would name the methods of one route only.
    """

    def not_allowed(request: Request, _error: Exception) -> Response:
        headers = {"Allow": ", ".join(methods_at(app, request.url.path))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        return problem(405, "Method Not Allowed", headers=headers)

    app.add_exception_handler(405, not_allowed)


def methods_at(app: FastAPI, path: str) -> list[str]:
    """Return the methods of ``path``, sorted. A route with this exact path hides routes with parameters."""
    matching = [context for context in iter_route_contexts(app.routes) if context.methods and _matches(context, path)]
    exact = [context for context in matching if context.path == path]
    methods = {method for context in exact or matching for method in context.methods or ()}
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def _matches(context: RouteContext, path: str) -> bool:
    return context.path_regex.match(path) is not None
