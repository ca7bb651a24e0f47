"""Sign in, sign out, accept an invitation; appearance and language."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from contracts.users import Role
from services.console.api_client import ApiProblem, SignInNeeded
from services.console.forms import read_form, refuse_other_sites
from services.console.languages import LANGUAGES
from services.console.problem_pages import carried_fields
from services.console.sessions import SignedInUser
from services.console.visit import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, Anyone, Visit

router = APIRouter(prefix="/console")

START = "/console/today"
# A path of the console with a query, without a host and without control characters.
OWN_PATH = re.compile(r"/console/[A-Za-z0-9._~%?&=+,:@!$'()*;/-]*")
YEAR_S = 365 * 86400


def own_path(path: str) -> str:
    """Return ``path`` if it is one of the console's pages, else the start page."""
    return path if OWN_PATH.fullmatch(path) and "//" not in path else START


@router.get("")
@router.get("/")
async def start(visit: Anyone) -> Response:
    """Go to the start page, or to the sign-in."""
    return visit.go(START if visit.user else "/console/sign-in")


@router.get("/sign-in")
async def sign_in_page(visit: Anyone, next: str = "") -> Response:
    """Return the form for signing in."""
    if visit.user is not None:
        return visit.go(own_path(next))
    return visit.page("sign_in/sign_in.html", next=own_path(next) if next else "", carried=None, email="", error=None)


@router.post("/sign-in")
async def sign_in(visit: Anyone, request: Request) -> Response:
    """Sign in, and go to the requested page, or send the interrupted form again."""
    refuse_other_sites(request)
    await read_form(request, signed_in=True)
    fields = await request.form()
    email, password = str(fields.get("sign_in_email", "")), str(fields.get("sign_in_password", ""))
    path, carries = own_path(str(fields.get("sign_in_next", ""))), bool(fields.get("sign_in_carries"))
    try:
        answer = await visit.api.send("POST", "/api/auth/login", json={"email": email, "password": password})
    except (SignInNeeded, ApiProblem) as error:
        carried = await carried_fields(request) if carries else None
        message = error.message if isinstance(error, ApiProblem) else str(error)
        return visit.page(
            "sign_in/sign_in.html",
            error.status if isinstance(error, ApiProblem) else 401,
            next=path, carried=carried, email=email, error=message,
        )  # fmt: skip
    # 307: the browser sends the interrupted form to its own page.
    response = RedirectResponse(path, 307 if carries else 303)
    visit.sessions.write(request, response, user_of(answer))
    return response


def user_of(answer: dict[str, Any]) -> SignedInUser:
    """Return the person in the API's response to a sign-in."""
    user = answer["user"]
    return SignedInUser(user["user_id"], Role(user["role"]), user["name"], user["email"], answer["token"])


@router.post("/sign-out")
async def sign_out(visit: Anyone, request: Request) -> Response:
    """End the sign-in in this browser."""
    refuse_other_sites(request)
    response = visit.go("/console/sign-in", done="signed-out")
    visit.sessions.clear(request, response)
    # Browsers keep pages with forms for the back button. This removes them.
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@router.get("/forgot-password")
async def forgot_password(visit: Anyone) -> Response:
    """Explain how to get a password link."""
    return visit.page("sign_in/forgot.html")


@router.get("/accept-invitation")
async def accept_page(visit: Anyone) -> Response:
    """Return the form for a first or new password. The token is in the link's fragment, which browsers do not send."""
    return visit.page("sign_in/accept.html", token="")


@router.post("/accept-invitation")
async def accept(visit: Anyone, request: Request) -> Response:
    """Set the password of the link's account, and sign in."""
    refuse_other_sites(request)
    form = await read_form(request, signed_in=False)
    token = form.text("token").rpartition("#token=")[2]
    if problem := differing(form.raw("password"), form.raw("password_again"), "password_again"):
        return visit.page("sign_in/accept.html", token=token, problem=problem)
    try:
        body = {"token": token, "password": form.raw("password")}
        answer = await visit.api.send("POST", "/api/auth/accept-invitation", json=body)
    except ApiProblem as refused:
        return visit.page("sign_in/accept.html", token=token, problem=refused)
    response = visit.go(START)
    visit.sessions.write(request, response, user_of(answer))
    return response


def differing(password: str, again: str, name: str) -> ApiProblem | None:
    """Return the problem of two passwords that differ, or ``None`` if they are the same."""
    if password == again:
        return None
    message = "The two passwords differ."
    return ApiProblem(422, message, [{"field": name, "message": message}])


@router.post("/preferences")
async def preferences(visit: Anyone, request: Request) -> Response:
    """Store the chosen appearance or language in a cookie."""
    refuse_other_sites(request)
    form = await read_form(request, signed_in=False)
    response = visit.go(own_path(form.text("next")))
    _keep(visit, response, LANGUAGE_COOKIE, form.text("language"), LANGUAGES)
    _keep(visit, response, THEME_COOKIE, form.text("theme"), THEMES)
    return response


def _keep(visit: Visit, response: Response, cookie: str, value: str, known: Any) -> None:
    if value in known:
        secure = visit.sessions.secure(visit.request)
        response.set_cookie(cookie, value, max_age=YEAR_S, path="/", secure=secure, httponly=True, samesite="lax")
