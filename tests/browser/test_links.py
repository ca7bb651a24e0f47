"""Which screens each role may open, and a crawler that follows every link of each role. Without a browser."""

import re
from urllib.parse import urljoin, urlsplit

import pytest

from contracts.users import Role
from tests.browser.conftest import signed_in
from tests.browser.scene import Scene
from tests.browser.screens import SCREENS

LINK = re.compile(r'<(?:a|link|script|img)\b[^>]*?(?:href|src)="([^"#]+)')
MAX_PAGES = 400


@pytest.mark.full_only
@pytest.mark.parametrize("role", list(Role))
def test_every_screen_is_there_for_its_roles_only(role: Role, scene: Scene, console_url: str) -> None:
    with signed_in(console_url, role) as client:
        statuses = {screen: client.get(scene.path(screen.path)).status_code for screen in SCREENS}
    wrong = {screen.path: status for screen, status in statuses.items() if status != screen.status(role)}
    assert wrong == {}


@pytest.mark.full_only
@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", list(Role))
def test_every_link_leads_to_a_page_that_the_role_may_open(role: Role, console_url: str) -> None:
    statuses: dict[str, int] = {}
    waiting = ["/console/", "/console/today"]
    with signed_in(console_url, role) as client:
        while waiting and len(statuses) < MAX_PAGES:
            path = waiting.pop(0)
            if path in statuses:
                continue
            response = client.get(path, follow_redirects=True)
            statuses[path] = response.status_code
            if not response.headers.get("content-type", "").startswith("text/html"):
                continue
            for link in LINK.findall(response.text):
                target = urljoin(path, link.replace("&amp;", "&"))
                if not urlsplit(target).netloc and target not in statuses:
                    waiting.append(target)
    assert {path: status for path, status in statuses.items() if status != 200} == {}
    assert len(statuses) > 15
