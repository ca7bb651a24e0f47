"""Every screen, for each role and theme: accessible, without sideways scrolling, within the policy, and small."""

import gzip
import re
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe

from contracts.users import Role
from tests.browser.conftest import ARTEFACTS, Person, Visit, signed_in
from tests.browser.scene import Scene
from tests.browser.screens import SCREENS, SIGNED_OUT
from tests.support.sizes import sized

RULES: dict[str, Any] = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "preload": False,
    "resultTypes": ["violations"],
}
# What depends on colours and sizes.
OF_LAYOUT: dict[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast", "target-size"]}, "preload": False}
# A first visit, compressed: the page, stylesheets and scripts.
MOST_BYTES = 80 * 1024


async def findings(person: Person, options: dict[str, Any] = RULES) -> list[str]:
    """Return what axe finds on the page, and whether it is wider than the window."""
    results = await Axe().run(person.page, options=options)
    found = [
        f"{violation['id']}: {node['html'][:160]}"
        for violation in results.response["violations"]
        for node in violation["nodes"][:3]
    ]
    wide = await person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return found + ([f"{wide} px too wide"] if wide > 0 else [])


async def keep_picture(person: Person, name: str) -> None:
    """Keep a picture of the page, for people to look at."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    await person.page.screenshot(path=ARTEFACTS / f"{safe}.png", full_page=True)


@pytest.mark.parametrize("role", list(Role))
def test_every_screen_is_there_for_its_roles_only(role: Role, scene: Scene, console_url: str) -> None:
    with signed_in(console_url, role) as client:
        statuses = {screen: client.get(scene.path(screen.path)).status_code for screen in SCREENS}
    wrong = {screen.path: status for screen, status in statuses.items() if status != screen.status(role)}
    assert wrong == {}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", list(Role))
async def test_every_screen_of_a_role(role: Role, visit: Visit, scene: Scene) -> None:
    """Each is opened once, and seen in two ways: light and 1,200 px wide, dark and 320 px wide."""
    person = await visit(role)
    wrong = {}
    for screen in SCREENS:
        if role in screen.roles and (screen.small or sized(small=False, full=True)):
            await person.open(scene.path(screen.path))
            wrong[screen.path] = await _light_and_dark(person, f"{role} {screen.path}")
    assert {path: found for path, found in wrong.items() if found} == {}


async def _light_and_dark(person: Person, name: str) -> list[str]:
    """Return what is wrong with the page in both ways. What depends on neither is looked for once."""
    found = await findings(person)
    await keep_picture(person, f"{name} light")
    await person.page.emulate_media(color_scheme="dark")
    await person.page.set_viewport_size({"width": 320, "height": 800})
    found += [f"dark: {one}" for one in await findings(person, OF_LAYOUT)]
    await keep_picture(person, f"{name} dark")
    await person.page.emulate_media(color_scheme="light")
    await person.page.set_viewport_size({"width": 1200, "height": 900})
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_screen_before_the_sign_in(theme: str, visit: Visit) -> None:
    person = await visit(None, theme=theme, width=320 if theme == "dark" else 1200)
    wrong = {}
    for path in sized(small=SIGNED_OUT[:1], full=SIGNED_OUT):
        assert await person.open(f"/console{path}") == 200
        if found := await findings(person):
            wrong[path] = found
        await keep_picture(person, f"signed-out {theme} {path}")
    assert wrong == {}


@pytest.mark.timeout(900)
async def test_every_screen_in_hindi_and_by_the_switch(visit: Visit, scene: Scene) -> None:
    person = await visit(Role.HEAD, locale="hi-IN")
    assert await person.page.get_attribute("html", "lang") == "hi"
    wrong = {}
    for path in sized(small=("/today",), full=("/today", "/drives", "/drives/{open}", "/drives/new")):
        await person.open(scene.path(path))
        if found := await findings(person):
            wrong[path] = found
        await keep_picture(person, f"hindi {path}")
    assert wrong == {}
    await person.page.click(".popover-menu summary")
    await person.page.click("button[value=en]")
    assert await person.page.get_attribute("html", "lang") == "en"


async def test_the_theme_is_chosen_and_kept(visit: Visit) -> None:
    person = await visit(Role.STUDENT, theme="light")
    light = await person.page.evaluate("getComputedStyle(document.body).backgroundColor")
    await person.page.click(".popover-menu summary")
    await person.page.click("button[value=dark]")
    await person.open("/console/drives")
    dark = await person.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    assert await person.page.get_attribute("html", "data-theme") == "dark"


async def test_a_first_visit_is_small(visit: Visit, scene: Scene) -> None:
    person = await visit(Role.HEAD)
    sizes = {}
    for template in sized(small=("/today", "/drives/new"), full=("/today", "/drives", "/drives/new", "/drives/{open}")):
        response = await person.page.goto(person.url + scene.path(template))
        assert response is not None
        page = await response.body()
        assets = re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', page.decode())
        bodies = [await (await person.context.request.get(person.url + path)).body() for path in set(assets)]
        sizes[template] = sum(len(gzip.compress(body)) for body in (page, *bodies))
    assert {path: size for path, size in sizes.items() if size > MOST_BYTES} == {}
