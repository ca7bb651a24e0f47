"""The person's own account, and its password."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.console.api_client import ApiProblem
from services.console.pages.sign_in import differing, user_of
from services.console.visit import SignedIn

router = APIRouter(prefix="/console/account")


@router.get("")
async def account(visit: SignedIn) -> Response:
    """Return the page."""
    return visit.page("account/account.html", key=None)


@router.post("/password")
async def change_password(visit: SignedIn, request: Request) -> Response:
    """Change the password. Other sign-ins end; this one continues with the new token."""
    form = await visit.form()
    if problem := differing(form.raw("new_password"), form.raw("new_password_again"), "new_password_again"):
        return visit.page("account/account.html", problem=problem, key=form.key)
    body = {"current_password": form.raw("current_password"), "new_password": form.raw("new_password")}
    try:
        answer = await visit.api.send("POST", "/api/auth/password", key=form.key, json=body)
    except ApiProblem as refused:
        return visit.page("account/account.html", problem=refused, key=None)
    response = visit.go("/console/account", done="password-changed")
    visit.sessions.write(request, response, user_of(answer))
    return response
