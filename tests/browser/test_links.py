"""A crawler that follows every link of each role: no dead link, no error, nothing that the role may not open."""

import re
from urllib.parse import urljoin, urlsplit

import pytest

from contracts.users import Role
from tests.browser.conftest import signed_in

LINK = re.compile(r'<(?:a|link|script|img)\b[^>]*?(?:href|src)="([^"#]+)')
MOST_PAGES = 400


@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", list(Role))
def test_every_link_leads_somewhere(role: Role, console_url: str) -> None:
    seen: dict[str, int] = {}
    waiting = ["/console/", "/console/today"]
    with signed_in(console_url, role) as client:
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
