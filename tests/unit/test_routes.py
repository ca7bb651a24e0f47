"""In which order the API tries its routes."""

from itertools import takewhile
from pathlib import Path

from fastapi.routing import APIRoute

from services.api.main import ASKED_MOST, create_app
from tests.replicas import settings


def test_what_is_asked_most_is_tried_first(tmp_path: Path) -> None:
    routes = create_app(settings("postgresql://postgres@127.0.0.1:9/x", tmp_path)).router.routes
    first = takewhile(lambda route: isinstance(route, APIRoute) and route.path in ASKED_MOST, routes)
    assert {route.path for route in first if isinstance(route, APIRoute)} == set(ASKED_MOST)
