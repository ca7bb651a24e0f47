"""A running system with the console, and real browsers: Debian's Chromium, driven by Playwright."""

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
ARTEFACTS = Path(__file__).parents[2] / "test-artefacts" / "browser"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
# What a page of the console must never cause.
VIOLATION = ("Content Security Policy", "TrustedHTML", "Refused to", "Permissions policy violation")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``--dist loadgroup``, let one process run the tests of this folder: it starts one campus.

    They take minutes, and so belong to `make test-full`. Skip them loudly where there is no Chromium.
    """
    reason = "NOT TESTED: there is no Chromium here, so no page of the console; `make tools` installs it"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.full_only)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def campus(template: Copies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Scene]]:
    """The processes with the sample people and a season, shared by the tests of this folder; without Kafka."""
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
    """A client of the console with the cookie of a person of ``role``."""
    body = {"sign_in_email": EMAILS[role], "sign_in_password": PASSWORD}
    with httpx.Client(base_url=url, timeout=60, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        assert client.post("/console/sign-in", data=body).status_code == 303
        yield client


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        await started.close()


@dataclass
class Person:
    """A browser window in which one person is signed in. ``violations``: what the browser reported."""

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

    def noticed(self, message: ConsoleMessage) -> None:
        if any(sign in message.text for sign in VIOLATION):
            self.violations.append(message.text)


Visit = Callable[..., Awaitable[Person]]


@pytest_asyncio.fixture
async def visit(console_url: str, browser: Browser) -> AsyncIterator[Visit]:
    """Open windows: ``await visit(Role.HEAD, js=False, theme="dark", width=320)``. ``None`` signs nobody in."""
    people: list[Person] = []

    async def opened(
        role: Role | None,
        *,
        js: bool = True,
        theme: Any = "light",
        width: int = 1200,
        email: str | None = None,
        locale: str = "en-IN",
    ) -> Person:
        context = await browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=js, locale=locale
        )
        page = await context.new_page()
        page.set_default_timeout(15_000)
        person = Person(page, context, console_url)
        page.on("console", person.noticed)
        page.on("pageerror", lambda error: person.violations.append(str(error)))
        people.append(person)
        if role is not None:
            await sign_in(person, email or EMAILS[role])
        return person

    yield opened
    for person in people:
        await person.context.close()
    assert [violation for person in people for violation in person.violations] == []


async def sign_in(person: Person, email: str, password: str = PASSWORD) -> None:
    """Sign in with the form, and wait for the first page."""
    await person.page.goto(f"{person.url}/console/sign-in")
    await person.page.fill("#sign_in_email", email)
    await person.page.fill("#sign_in_password", password)
    await person.page.click("main form button")
    await person.page.wait_for_url("**/console/today")
