"""The gateway in front of the real console: pages, forms, and the limits of failed sign-ins."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from devstack.browser_assets import ensure_assets
from devstack.ports import LOOPBACK, free_port
from tests.support.leftovers import for_the_session
from tests.support.nginx import gateway, needs_nginx
from tests.support.system import System, bearer

pytestmark = needs_nginx

MIB = 1024 * 1024
OTHER_ORIGIN = "https://evil.example"


@pytest.fixture(scope="module")
def console_front(module_system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a gateway in front of an API and a console."""
    with ExitStack() as undo:
        with for_the_session():
            module_system.start("api", TRUSTED_PROXIES=LOOPBACK, LOGIN_FAILURES_PER_SOURCE_PER_MINUTE="3")
            module_system.start("console", ASSETS_FOLDER=str(ensure_assets()))
            upstream = f"{LOOPBACK}:{module_system.ports['api']}"
            console = f"{LOOPBACK}:{module_system.ports['console']}"
            folder = tmp_path_factory.mktemp("console-gateway")
            url = undo.enter_context(gateway(folder, upstream, console=console))
        yield url


def test_the_console_is_behind_the_gateway(console_front: str) -> None:
    with httpx.Client(base_url=console_front, timeout=30) as client:
        assert (client.get("/console").status_code, client.get("/console").headers["Location"]) == (308, "/console/")
        assert client.get("/console/").headers["Location"] == "/console/sign-in"
        page = client.get("/console/sign-in")
        assert (page.status_code, page.headers["X-Frame-Options"]) == (200, "DENY")
        assert "trusted-types" in page.headers["Content-Security-Policy"]
        (script,) = re.findall(r'src="(/console/assets/[^"]+/htmx\.min\.js)"', page.text)
        assert client.get(script).headers["Cache-Control"].endswith("immutable")
        id_ = str(uuid4())
        assert client.get("/console/sign-in", headers={"X-Correlation-Id": id_}).headers["X-Correlation-Id"] == id_
        # A browser without Fetch Metadata sends only Origin.
        body = {"sign_in_email": "nobody@college.edu", "sign_in_password": "wrong password"}
        assert client.post("/console/sign-in", data=body, headers={"Origin": console_front}).status_code == 401
        assert client.post("/console/sign-in", data=body, headers={"Origin": OTHER_ORIGIN}).status_code == 403


def test_failed_sign_ins_through_the_console_are_limited_by_the_browsers_address(console_front: str) -> None:
    """The API uses neither the address of the console nor a forged address."""

    def codes(source: str) -> list[int]:
        transport = httpx.HTTPTransport(local_address=source)
        with httpx.Client(base_url=console_front, transport=transport, timeout=30) as client:
            return [
                client.post(
                    "/console/sign-in",
                    data={"sign_in_email": f"{number}@made.up", "sign_in_password": "x"},
                    headers={"Origin": console_front, "X-Forwarded-For": f"198.51.100.{number}"},
                ).status_code
                for number in range(5)
            ]

    for source in ("127.0.0.31", "127.0.0.32"):
        assert codes(source) == [401] * 3 + [429] * 2


def test_each_form_of_the_console_has_its_own_size_limit(console_front: str) -> None:
    headers = {"Origin": console_front, "Content-Type": "multipart/form-data; boundary=x"}
    with httpx.Client(base_url=console_front, timeout=30, headers=headers) as client:
        # Nobody is signed in, so these limits are those of a request without authentication.
        for path, size in (("/console/drives/new", 28 * MIB), ("/console/sign-in", 2 * MIB)):
            refused = client.post(path, content=b"0" * size)
            assert (refused.status_code, refused.headers["Content-Type"]) == (413, "application/problem+json")
        assert (
            client.post("/console/students/import", content=b"0" * (28 * MIB))
            .headers["Content-Type"]
            .startswith("text/html")
        )


def test_the_api_works_while_the_console_is_down(console_front: str, module_system: System, tmp_path: Path) -> None:
    upstream, nobody = f"{LOOPBACK}:{module_system.ports['api']}", f"{LOOPBACK}:{free_port()}"
    with gateway(tmp_path / "gateway", upstream, console=nobody) as url:
        away = httpx.get(f"{url}/console/today")
        assert (away.status_code, away.headers["Content-Type"]) == (503, "application/problem+json")
        assert httpx.get(f"{url}/api/drives", headers=bearer()).status_code == 200
