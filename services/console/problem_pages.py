"""Error pages. Each says what happened, what was saved, and what to do."""

from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from services.console.api_client import ApiAway, ApiProblem, SignInNeeded
from services.console.forms import KEY, TOKEN, ForgedForm, FormTooLarge, read_form
from services.console.visit import NotAllowed, visit_of

log = structlog.get_logger()
HTMX = "hx-request"


def install(app: FastAPI) -> None:
    """Give ``app`` a page for every error."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(ApiAway, _away)
    app.add_exception_handler(ApiProblem, _refused)
    app.add_exception_handler(NotAllowed, _not_allowed)
    app.add_exception_handler(ForgedForm, _forged)
    app.add_exception_handler(FormTooLarge, _too_large)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Exception, _bug)


async def _sign_in(request: Request, _error: Exception) -> Response:
    """Return the sign-in page. A submitted form is kept in it, and is sent again after the sign-in."""
    if request.headers.get(HTMX):
        return Response("", 200, {"HX-Refresh": "true"})
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "POST":
        return RedirectResponse(f"/console/sign-in?next={quote(path)}", 303)
    visit = visit_of(request)
    return visit.page(
        "sign_in/sign_in.html", 401, next=path, carried=await carried_fields(request), email="", error=None
    )


async def carried_fields(request: Request) -> list[tuple[str, str]]:
    """Return the fields of the submitted form with its key and token, so that another page can send it again."""
    form = await read_form(request, signed_in=True)
    submitted = await request.form()
    own = [(name, value) for name in (KEY, TOKEN) if isinstance(value := submitted.get(name), str)]
    return own + [(name, value) for name, values in form.lists.items() for value in values]


async def _away(request: Request, error: Exception) -> Response:
    """Return the page for an unavailable API. It reloads itself, or keeps a submitted form, which can be sent again."""
    assert isinstance(error, ApiAway)
    if request.headers.get(HTMX):
        return Response("", 204)
    visit = visit_of(request)
    carried = await carried_fields(request) if request.method == "POST" else None
    response = visit.page("problems/away.html", 503, carried=carried, saved=error.may_be_saved, message=error.message)
    if carried is None:
        response.headers["Refresh"] = "5"
    response.headers["Retry-After"] = "5"
    return response


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiProblem)
    return _problem(request, error.status, error.message)


def _not_allowed(request: Request, _error: Exception) -> Response:
    return _problem(request, 403, "")


def _forged(request: Request, _error: Exception) -> Response:
    return _problem(request, 403, "", forged=True)


def _too_large(request: Request, _error: Exception) -> Response:
    return _problem(request, 413, "")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(request, error.status_code, "")


def _malformed(request: Request, _error: Exception) -> Response:
    return _problem(request, 404, "")


def _bug(request: Request, error: Exception) -> Response:
    log.error("page.failed", route=getattr(request.scope.get("route"), "path", None), exc_info=error)
    return _problem(request, 500, "")


def _problem(request: Request, status: int, message: str, *, forged: bool = False) -> Response:
    return visit_of(request).page("problems/problem.html", status, status_code=status, message=message, forged=forged)
