"""One request to the console: the signed-in person, the API, the language, and the response."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from contracts.users import Role
from services.console.api_client import ApiClient, ApiProblem, SignInNeeded
from services.console.forms import TOKEN, ForgedForm, Form, read_form, refuse_other_sites
from services.console.languages import chosen_language
from services.console.navigation import menu
from services.console.rendering import Renderer
from services.console.sessions import Sessions, SignedInUser

LANGUAGE_COOKIE = "placewire-language"
THEME_COOKIE = "placewire-theme"
DONE_COOKIE = "placewire-done"
THEMES = ("auto", "light", "dark")
# Sentences that a page shows once after a redirect. The cookie holds a code, so that nobody can make the console show
# another sentence.
DONE = {
    "drive-created": "The drive was created.",
    "drive-revised": "The drive was changed.",
    "drive-published": "The drive was published. Students are being selected.",
    "drive-stopped": "Registration has ended. Attendance can be marked.",
    "drive-deleted": "The drive was deleted.",
    "attendance-published": "Attendance was published. The drive is finished.",
    "marked": "Attendance was saved.",
    "registered": "You are registered.",
    "password-changed": "Your password was changed. Other sign-ins have ended.",
    "export-requested": "The file is being written.",
    "cancelled": "The job was cancelled.",
    "student-enrolled": "The student was enrolled.",
    "student-revised": "The record was changed.",
    "imported": "The students were imported.",
    "erased": "The personal data was erased, and the account is closed.",
    "user-created": "The account was created.",
    "user-revised": "The account was changed.",
    "deactivated": "The account was deactivated.",
    "reactivated": "The account was reactivated.",
    "domain-added": "The job domain was added.",
    "domain-renamed": "The job domain was renamed.",
    "redriven": "The jobs were queued again.",
    "discarded": "The job was discarded.",
    "refreshed": "The figures are being refreshed.",
    "all-read": "All notifications are marked as read.",
    "signed-out": "You have signed out.",
}


class NotAllowed(Exception):
    """The person's role may not open this screen."""


@dataclass(frozen=True, slots=True)
class Visit:
    request: Request
    user: SignedInUser | None
    api: ApiClient
    language: str
    renderer: Renderer
    sessions: Sessions
    zone: ZoneInfo

    @property
    def person(self) -> SignedInUser:
        """Return the signed-in person. Raises ``SignInNeeded``."""
        if self.user is None:
            raise SignInNeeded
        return self.user

    def is_any(self, *roles: Role) -> bool:
        return self.user is not None and self.user.role in roles

    async def form(self, **options: Any) -> Form:
        """Return the submitted form of a signed-in person.

        Raises ``ForgedForm`` when it does not come from a page of this person, ``SignInNeeded`` without a sign-in.
        """
        refuse_other_sites(self.request)
        form = await read_form(self.request, signed_in=self.user is not None, **options)
        person = self.person
        token = (await self.request.form()).get(TOKEN)
        if not isinstance(token, str) or not self.sessions.is_form_token(token, person):
            raise ForgedForm
        return form

    def page(
        self, template: str, http_status: int = 200, *, problem: ApiProblem | None = None, **values: Any
    ) -> Response:
        """Return a page. ``problem``: the API's refusal, shown above the form and beside its fields."""
        if problem is not None:
            http_status = problem.status
        keys: list[str] = []
        html = self.html(template, problem=problem, keys=keys, **values)
        # With the back button, a form appears as it was: with the typed values and the same Idempotency-Key. After the
        # sign-out the cookie differs, so browsers do not use the stored page.
        cache = "private, no-cache" if keys or values.get("key") else "no-store"
        response = HTMLResponse(html, http_status, {"Cache-Control": cache, "Vary": "Cookie, Accept-Language"})
        if self.request.cookies.get(DONE_COOKIE):
            response.delete_cookie(DONE_COOKIE, path="/")
        return response

    def html(
        self, template: str, *, problem: ApiProblem | None = None, keys: list[str] | None = None, **values: Any
    ) -> str:
        """Return the HTML of a page or a part of one. Adds the Idempotency-Keys of its forms to ``keys``."""
        keys = [] if keys is None else keys
        done = self.request.cookies.get(DONE_COOKIE, "")
        theme = self.request.cookies.get(THEME_COOKIE, "auto")
        return self.renderer.render(
            template,
            self.language,
            {
                "visit": self,
                "user": self.user,
                "menu": menu(self.user.role) if self.user else [],
                "path": self.request.url.path,
                "query": dict(self.request.query_params),
                "theme": theme if theme in THEMES else "auto",
                "language": self.language,
                "form_token": self.sessions.form_token(self.user),
                "new_key": lambda: _new_key(keys),
                "done": DONE.get(done),
                "problem": problem,
                "correlation_id": self.request.state.correlation_id,
                **values,
            },
        )

    def go(self, path: str, *, done: str | None = None) -> Response:
        """Return a redirect to ``path``, whose page shows ``DONE[done]`` once. A reload then sends no form."""
        response = RedirectResponse(path, 303)
        if done is not None:
            assert done in DONE
            response.set_cookie(DONE_COOKIE, done, max_age=60, path="/", httponly=True, samesite="lax")
        return response


def _new_key(keys: list[str]) -> str:
    keys.append(str(uuid4()))
    return keys[-1]


def visit_of(request: Request) -> Visit:
    """Return the visit of a request, with the API client of the signed-in person."""
    sessions: Sessions = request.app.state.sessions
    user = sessions.read(request)
    headers = {"X-Correlation-ID": request.state.correlation_id, **_forwarded(request)}
    if user is not None:
        headers["Authorization"] = f"Bearer {user.token}"
    language = chosen_language(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))
    state = request.app.state
    return Visit(request, user, ApiClient(state.api, headers), language, state.renderer, sessions, state.zone)


def _forwarded(request: Request) -> dict[str, str]:
    """Return headers with the browser's address and host, for the API's limits and for links in its responses."""
    addresses = request.headers.get("x-forwarded-for")
    client = request.client.host if request.client else ""
    headers = {"X-Forwarded-For": ", ".join(address for address in (addresses, client) if address)}
    host = request.headers.get("x-forwarded-host") or request.headers.get("host")
    if host:
        headers["X-Forwarded-Host"] = host
        headers["X-Forwarded-Proto"] = request.headers.get("x-forwarded-proto", request.url.scheme)
    return headers


async def _anyone(request: Request) -> Visit:
    return visit_of(request)


def _for(roles: tuple[Role, ...]) -> Callable[[Request], Coroutine[Any, Any, Visit]]:
    async def check(request: Request) -> Visit:
        visit = visit_of(request)
        if visit.person.role not in roles:
            raise NotAllowed
        return visit

    return check


def allowed(*roles: Role) -> Any:
    """Return the dependency on a signed-in person with one of ``roles``. Without ``roles``: any role.

    It decides who may open a screen. The API checks each call again.
    """
    return Depends(_for(roles or tuple(Role)))


Anyone = Annotated[Visit, Depends(_anyone)]
SignedIn = Annotated[Visit, allowed()]
