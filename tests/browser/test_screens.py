"""Every screen, for each role and theme: accessible, without sideways scrolling, within the policy, and small."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe

from contracts.users import Role
from tests.browser.conftest import Person, Visit
from tests.browser.scene import Scene
from tests.browser.screens import SCREENS, SIGNED_OUT
from tests.support.sizes import FULL, sized

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(900)]
ARTEFACTS = Path(__file__).parents[2] / "test-artefacts" / "browser"
RULES: dict[str, Any] = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "preload": False,
    "resultTypes": ["violations"],
}
# The rules whose results depend on colours and sizes.
LAYOUT_RULES: dict[str, Any] = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "target-size"]},
    "preload": False,
}
# The page, stylesheets and scripts of a first visit, compressed.
MAX_BYTES = 80 * 1024
# A small run leaves the other roles to `make test-full`.
ROLES = [
    pytest.param(role, marks=() if role in (Role.COORDINATOR, Role.STUDENT) else pytest.mark.full_only) for role in Role
]


async def problems_of(person: Person, options: dict[str, Any] = RULES) -> list[str]:
    """Return the violations that axe finds on the page, and by how much the page is wider than the window."""
    results = await Axe().run(person.page, options=options)
    problems = [
        f"{violation['id']}: {node['html'][:160]}"
        for violation in results.response["violations"]
        for node in violation["nodes"][:3]
    ]
    excess = await person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return problems + ([f"{excess} px too wide"] if excess > 0 else [])


async def save_screenshot(person: Person, name: str) -> None:
    """Save a screenshot of the page among the artefacts of a full run, for people to look at."""
    if not FULL:
        return
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    # Without a path: Playwright would write the file in a thread that outlives the test.
    (ARTEFACTS / f"{safe}.png").write_bytes(await person.page.screenshot(full_page=True))


@pytest.mark.parametrize("role", ROLES)
async def test_every_screen_of_a_role(role: Role, visit: Visit, scene: Scene) -> None:
    """Open each screen once, and look at it in two ways: light and 1,200 px wide, dark and 320 px wide."""
    person = await visit(role)
    problems = {}
    for screen in SCREENS:
        if role in screen.roles and (screen.small or sized(small=False, full=True)):
            await person.open(scene.path(screen.path))
            problems[screen.path] = await _light_and_dark(person, f"{role} {screen.path}")
    assert {path: found for path, found in problems.items() if found} == {}


async def _light_and_dark(person: Person, name: str) -> list[str]:
    """Return what is wrong with the page in both ways. Rules that depend on neither are checked once."""
    problems = await problems_of(person)
    await save_screenshot(person, f"{name} light")
    await person.page.emulate_media(color_scheme="dark")
    await person.page.set_viewport_size({"width": 320, "height": 800})
    problems += [f"dark: {problem}" for problem in await problems_of(person, LAYOUT_RULES)]
    await save_screenshot(person, f"{name} dark")
    await person.page.emulate_media(color_scheme="light")
    await person.page.set_viewport_size({"width": 1200, "height": 900})
    return problems


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.full_only)])
async def test_every_screen_before_the_sign_in(theme: str, visit: Visit) -> None:
    person = await visit(None, theme=theme, width=320 if theme == "dark" else 1200)
    problems = {}
    for path in sized(small=SIGNED_OUT[:1], full=SIGNED_OUT):
        assert await person.open(f"/console{path}") == 200
        problems[path] = await problems_of(person)
        await save_screenshot(person, f"signed-out {theme} {path}")
    assert {path: found for path, found in problems.items() if found} == {}


@pytest.mark.full_only
async def test_every_screen_in_hindi_and_by_the_switch(visit: Visit, scene: Scene) -> None:
    person = await visit(Role.HEAD, locale="hi-IN")
    assert await person.page.get_attribute("html", "lang") == "hi"
    problems = {}
    for path in ("/today", "/drives", "/drives/{open}", "/drives/new"):
        await person.open(scene.path(path))
        problems[path] = await problems_of(person)
        await save_screenshot(person, f"hindi {path}")
    assert {path: found for path, found in problems.items() if found} == {}
    await person.page.click(".popover-menu summary")
    await person.page.click("button[value=en]")
    assert await person.page.get_attribute("html", "lang") == "en"


@pytest.mark.full_only
async def test_the_theme_is_chosen_and_kept(visit: Visit) -> None:
    person = await visit(Role.STUDENT, theme="light")
    light = await person.page.evaluate("getComputedStyle(document.body).backgroundColor")
    await person.page.click(".popover-menu summary")
    await person.page.click("button[value=dark]")
    await person.open("/console/drives")
    dark = await person.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    assert await person.page.get_attribute("html", "data-theme") == "dark"


@pytest.mark.full_only
async def test_a_first_visit_is_small(visit: Visit, scene: Scene) -> None:
    person = await visit(Role.HEAD)
    sizes = {}
    for template in ("/today", "/drives", "/drives/new", "/drives/{open}", "/analytics", "/students", "/my-data"):
        response = await person.page.goto(person.url + scene.path(template))
        assert response is not None
        page = await response.body()
        assets = re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', page.decode())
        bodies = [await (await person.context.request.get(person.url + path)).body() for path in set(assets)]
        assert bodies
        sizes[template] = sum(len(gzip.compress(body)) for body in (page, *bodies))
    assert {path: size for path, size in sizes.items() if size > MAX_BYTES} == {}
