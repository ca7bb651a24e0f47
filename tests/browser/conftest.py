"""A running system with the console, and one browser: Debian's Chromium, driven by Playwright."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from chassis.postgres.database import Database
from cli.sample import seeding
from cli.sample.people import PASSWORD
from contracts.users import Role
from devstack.browser_assets import ensure_assets
from devstack.ports import LOOPBACK
from tests.browser.scene import EMAILS, Scene, build
from tests.support.database_clones import Copies
from tests.support.leftovers import for_the_session
from tests.support.system import NO_KAFKA, System, as_role, running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "NOT TESTED: pages of the console, because there is no Chromium; `make tools` installs it"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
# Messages in the browser's console that no page may cause.
VIOLATIONS = ("Content Security Policy", "TrustedHTML", "Refused to", "Permissions policy violation")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``--dist loadgroup``, run the tests of this folder in one process, so that they share system and browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def campus(template: Copies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Scene]]:
    """The processes without Kafka, with the sample people and a season, shared by the tests of this folder."""
    with for_the_session():
        url = asyncio.run(template.take())
    asyncio.run(_seed(as_role(url, "placewire_api")))
    folder = tmp_path_factory.mktemp("browser")
    settings = {"ASSETS_FOLDER": str(ensure_assets()), "TZ": "Asia/Kolkata", "REFRESH_AFTER_CHANGE_S": "5"}
    with running(url, NO_KAFKA, folder, **settings) as system:
        with for_the_session():
            system.start_together("api", "eligibility", "exporter", "maintenance", "console")
        yield system, build(f"http://{LOOPBACK}:{system.ports['api']}")
    findings = asyncio.run(template.give_back(url, verified=True))
    assert findings is None or not findings.differences, findings


async def _seed(url: str) -> None:
    database = Database(url, pool_size=1, application_name="test")
    try:
        await seeding.seed(database)
    finally:
        await database.close()


@pytest.fixture
def scene(campus: tuple[System, Scene]) -> Scene:
    return campus[1]


@pytest.fixture
def console_url(campus: tuple[System, Scene]) -> str:
    return f"http://{LOOPBACK}:{campus[0].ports['console']}"


@contextmanager
def signed_in(url: str, role: Role) -> Iterator[httpx.Client]:
    """An HTTP client with the sign-in cookie of a person of ``role``."""
    body = {"sign_in_email": EMAILS[role], "sign_in_password": PASSWORD}
    with httpx.Client(base_url=url, timeout=60, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        assert client.post("/console/sign-in", data=body).status_code == 303
        yield client


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """The browser of this folder's tests, which run in one event loop: ``asyncio(loop_scope="package")``."""
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with for_the_session():
        playwright = await async_playwright().start()
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield started
    await started.close()
    await playwright.stop()


@dataclass
class Person:
    """A browser window in which one person is signed in. ``violations``: messages of the browser that are failures."""

    page: Page
    context: BrowserContext
    url: str
    violations: list[str] = field(default_factory=list)

    async def open(self, path: str) -> int:
        """Open an address of the console. Return the status."""
        response = await self.page.goto(self.url + path)
        assert response is not None
        return response.status

    async def heading(self) -> str:
        return await self.page.inner_text("h1")

    async def main_text(self) -> str:
        return await self.page.inner_text("main")

    def record_violation(self, message: ConsoleMessage) -> None:
        if any(sign in message.text for sign in VIOLATIONS):
            self.violations.append(message.text)


Visit = Callable[..., Awaitable[Person]]


@pytest_asyncio.fixture(loop_scope="package")
async def visit(browser: Browser, console_url: str) -> AsyncIterator[Visit]:
    """Open windows: ``await visit(Role.HEAD, js=False, theme="dark", width=320)``. ``None``: without a sign-in."""
    people: list[Person] = []

    async def open_window(
        role: Role | None,
        *,
        js: bool = True,
        theme: Any = "light",
        width: int = 1200,
        height: int = 900,
        email: str | None = None,
        locale: str = "en-IN",
    ) -> Person:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            java_script_enabled=js,
            locale=locale,
            reduced_motion="reduce",  # else colours are still changing when they are checked
        )
        page = await context.new_page()
        page.set_default_timeout(15_000)
        person = Person(page, context, console_url)
        page.on("console", person.record_violation)
        page.on("pageerror", lambda error: person.violations.append(str(error)))
        people.append(person)
        if role is not None:
            await sign_in(person, email or EMAILS[role])
        return person

    yield open_window
    for person in people:
        await person.context.close()
    assert [violation for person in people for violation in person.violations] == []


async def sign_in(person: Person, email: str, password: str = PASSWORD) -> None:
    """Sign in with the form, and wait for the start page."""
    await person.page.goto(f"{person.url}/console/sign-in")
    await person.page.fill("#sign_in_email", email)
    await person.page.fill("#sign_in_password", password)
    await person.page.click("main form button")
    await person.page.wait_for_url("**/console/today")
