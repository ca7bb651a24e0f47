"""A crawler that follows every link of each role: no dead link, no error, nothing that the role may not open."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from cli.sample.people import PASSWORD
from contracts.users import Role
from devstack.ports import LOOPBACK
from tests.browser.scene import EMAILS, Scene
from tests.support.system import System

LINK = re.compile(r'<(?:a|link|script|img)\b[^>]*?(?:href|src)="([^"#]+)')
MOST_PAGES = 400


@contextmanager
def signed_in(url: str, role: Role) -> Iterator[httpx.Client]:
    body = {"sign_in_email": EMAILS[role], "sign_in_password": PASSWORD}
    with httpx.Client(base_url=url, timeout=60, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        assert client.post("/console/sign-in", data=body).status_code == 303
        yield client


@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", list(Role))
def test_every_link_leads_somewhere(role: Role, campus: tuple[System, Scene]) -> None:
    url = f"http://{LOOPBACK}:{campus[0].ports['console']}"
    seen: dict[str, int] = {}
    waiting = ["/console/", "/console/today"]
    with signed_in(url, role) as client:
        while waiting and len(seen) < MOST_PAGES:
            path = waiting.pop(0)
            if path in seen:
                continue
            answer = client.get(path, follow_redirects=True)
            seen[path] = answer.status_code
            if not answer.headers.get("content-type", "").startswith("text/html"):
                continue
            for found in LINK.findall(answer.text):
                target = urljoin(path, found.replace("&amp;", "&"))
                if not urlsplit(target).netloc and target not in seen:
                    waiting.append(target)
    assert {path: status for path, status in seen.items() if status != 200} == {}
    assert len(seen) > 15
