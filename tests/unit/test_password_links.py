"""The base address of a link that sets a password."""

import pytest
from starlette.requests import Request

from chassis.errors import Invalid
from services.api.users.links import base_of

PAGE = "/console/accept-invitation#token="


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "path": "/", "query_string": b"", "headers": pairs}
    return Request(scope | {"server": ("127.0.0.1", 5000)})


def test_the_setting_overrides_the_host_of_the_request() -> None:
    assert base_of(request(host="10.0.0.1:5000"), "https://placement.college.edu") == (
        "https://placement.college.edu" + PAGE
    )


def test_without_the_setting_the_link_has_the_host_of_the_request() -> None:
    assert base_of(request(host="localhost:5000"), None) == "http://localhost:5000" + PAGE
    forwarded = request(host="gateway", x_forwarded_host="college.edu:8443", x_forwarded_proto="https")
    assert base_of(forwarded, None) == "https://college.edu:8443" + PAGE


@pytest.mark.parametrize("host", ["", "evil.example/path?", "a b", "user@host"])
def test_an_invalid_host_is_refused(host: str) -> None:
    with pytest.raises(Invalid):
        base_of(request(host=host), None)
