"""What a link that sets a password begins with."""

import pytest
from starlette.requests import Request

from chassis.errors import Invalid
from services.api.users.links import base_of

PAGE = "/console/accept-invitation#token="


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "path": "/", "query_string": b"", "headers": pairs}
    return Request(scope | {"server": ("127.0.0.1", 5000)})


def test_the_setting_comes_before_what_the_request_says() -> None:
    assert base_of(request(host="10.0.0.1:5000"), "https://placement.college.edu") == (
        "https://placement.college.edu" + PAGE
    )


def test_without_the_setting_it_is_where_the_request_was_sent_to() -> None:
    assert base_of(request(host="localhost:5000"), None) == "http://localhost:5000" + PAGE
    through = request(host="gateway", x_forwarded_host="college.edu:8443", x_forwarded_proto="https")
    assert base_of(through, None) == "https://college.edu:8443" + PAGE


@pytest.mark.parametrize("host", ["", "evil.example/path?", "a b", "user@host"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(Invalid):
        base_of(request(host=host), None)
