"""The console without the API: its own pages, its cookie, its protection, and its answers while the API is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import Response

from contracts.users import Role
from devstack.browser_assets import ensure_assets
from services.console.charts import bar_chart, line_chart
from services.console.main import create_app
from services.console.pages.sign_in import START, own_path
from services.console.sessions import Sessions, SignedInUser
from services.console.settings import ConsoleSettings

SECRET, OTHER = "s" * 40, "o" * 40
USER = SignedInUser(7, Role.HEAD, "Asha", "asha@college.edu", "the-token")


@pytest_asyncio.fixture
async def console() -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of a console that cannot reach its API."""
    settings = ConsoleSettings(
        console_secret=SECRET, api_url="http://127.0.0.1:9", assets_folder=ensure_assets(), log_format="text"
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            yield client


def request(cookies: str = "", scheme: str = "http") -> Request:
    headers = [(b"cookie", cookies.encode())] if cookies else []
    return Request({"type": "http", "method": "GET", "path": "/", "scheme": scheme, "headers": headers})


def cookie_of(sessions: Sessions, scheme: str = "http") -> str:
    response = Response()
    sessions.write(request(scheme=scheme), response, USER)
    return response.headers["set-cookie"].split(";")[0]


def test_the_cookie_is_read_with_the_current_or_the_former_secret() -> None:
    cookie = cookie_of(Sessions([SECRET]))
    assert "the-token" not in cookie
    assert Sessions([SECRET]).read(request(cookie)) == USER
    assert Sessions([OTHER, SECRET]).read(request(cookie)) == USER
    assert Sessions([OTHER]).read(request(cookie)) is None
    assert Sessions([SECRET]).read(request(cookie[:-4] + "AAAA")) is None


def test_the_cookie_of_a_plain_connection_is_ignored_with_tls() -> None:
    plain, secure = cookie_of(Sessions([SECRET])), cookie_of(Sessions([SECRET]), "https")
    assert (plain.partition("=")[0], secure.partition("=")[0]) == ("placewire", "__Host-placewire")
    assert Sessions([SECRET]).read(request(plain, "https")) is None
    assert Sessions([SECRET], public_url="https://campus.example").read(request(plain)) is None
    assert Sessions([SECRET], public_url="https://campus.example").read(request(secure)) == USER


def test_a_form_token_belongs_to_one_person() -> None:
    sessions = Sessions([SECRET])
    other = SignedInUser(8, Role.HEAD, "Ravi", "ravi@college.edu", "the-token")
    assert sessions.is_form_token(sessions.form_token(USER), USER)
    assert not sessions.is_form_token(sessions.form_token(USER), other)
    assert not sessions.is_form_token(sessions.form_token(USER), None)
    assert not sessions.is_form_token("", USER)


@pytest.mark.parametrize(
    "path",
    ["https://evil.example/console/", "//evil.example", "/console//evil.example", "/api/drives", "", "/console/\n",
     "/console\\evil", "javascript:alert(1)"],
)  # fmt: skip
def test_the_sign_in_redirects_only_to_pages_of_the_console(path: str) -> None:
    assert own_path(path) == START
    assert own_path("/console/drives?status=posted&start=50") == "/console/drives?status=posted&start=50"


async def test_pages_have_a_content_security_policy_and_no_inline_code(console: httpx.AsyncClient) -> None:
    answer = await console.get("/console/sign-in")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    assert "<style" not in answer.text
    assert " onclick" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_assets_are_immutable_and_compressed(console: httpx.AsyncClient) -> None:
    page = (await console.get("/console/sign-in")).text
    path = page.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = await console.get(path)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    assert "immutable" in answer.headers["cache-control"]
    assert (await console.get(path.replace("bootstrap.min.css", "no-such.css"))).status_code == 404
    assert (await console.get(path.replace(path.split("/")[3], "0" * 16))).status_code == 404


async def test_the_error_page_keeps_the_typed_form_while_the_api_is_away(console: httpx.AsyncClient) -> None:
    console.headers["cookie"] = cookie_of(Sessions([SECRET]))
    answer = await console.get("/console/drives")
    assert (answer.status_code, answer.headers["refresh"]) == (503, "5")
    token = Sessions([SECRET]).form_token(USER)
    body = {"form_token": token, "idempotency_key": "the-key", "domain_name": "Typed & kept"}
    answer = await console.post("/console/domains", data=body, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 503
    assert 'name="domain_name" value="Typed &amp; kept"' in answer.text
    assert 'name="idempotency_key" value="the-key"' in answer.text
    assert "refresh" not in answer.headers


async def test_the_sign_in_page_keeps_a_form_that_was_sent_without_a_session(console: httpx.AsyncClient) -> None:
    body = {"form_token": "t", "idempotency_key": "k", "domain_name": "Kept"}
    answer = await console.post("/console/domains", data=body, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 401
    assert 'name="sign_in_next" value="/console/domains"' in answer.text
    assert 'name="domain_name" value="Kept"' in answer.text


async def test_a_large_unauthenticated_form_is_refused_unread(console: httpx.AsyncClient) -> None:
    answer = await console.post(
        "/console/accept-invitation", data={"token": "x" * 300_000}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 413


def test_missing_assets_are_reported_in_one_line(tmp_path: Path) -> None:
    settings = ConsoleSettings(console_secret=SECRET, assets_folder=tmp_path)
    with pytest.raises(SystemExit, match=r"htmx\.min\.js is missing"):
        create_app(settings)
    with pytest.raises(SystemExit, match="ASSETS_FOLDER is not set"):
        create_app(ConsoleSettings(console_secret=SECRET))


def test_charts_fit_their_box() -> None:
    bars = bar_chart([("a", 10), ("b", 5), ("c", 0)])
    assert [bar.width for bar in bars] == [300, 150, 2]
    line = line_chart([("2026-01-01", 3), ("2026-01-02", 9)])
    assert [value for _, value in line.ticks] == [0, 5, 10]
    assert all(0 <= y <= 180 for _, y, _, _ in line.dots)
    assert line_chart([]).dots == []
