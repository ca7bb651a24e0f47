"""The order of the API's routes, and the route labels of their metrics."""

import re
from itertools import takewhile
from pathlib import Path
from uuid import UUID

import httpx
from fastapi.routing import APIRoute, iter_route_contexts
from prometheus_client import REGISTRY

from services.api.main import BUSIEST_PATHS, create_app
from tests.support.service_settings import api_settings


def test_the_busiest_routes_are_matched_first(tmp_path: Path) -> None:
    routes = create_app(api_settings("postgresql://postgres@127.0.0.1:9/x", tmp_path)).router.routes
    first = takewhile(lambda route: isinstance(route, APIRoute) and route.path in BUSIEST_PATHS, routes)
    assert {route.path for route in first if isinstance(route, APIRoute)} == set(BUSIEST_PATHS)


def requests_counted(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("placewire_http_request_duration_seconds_count", labels) or 0


async def test_every_route_is_counted_under_its_full_path(tmp_path: Path) -> None:
    """Call each route without a token. The label of the import was once ``/import`` instead of its full path."""
    app = create_app(api_settings("postgresql://postgres@127.0.0.1:9/x", tmp_path))
    contexts = [
        context
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute) and context.methods
    ]
    assert "/api/students/import" in {context.path for context in contexts}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        for context in contexts:
            assert context.path is not None
            assert context.methods is not None
            if context.path in ("/readyz", "/metrics"):  # these routes read the database
                continue
            [method, *_] = sorted(context.methods - {"HEAD"})
            path = re.sub(r"\{[^}]*\}", "1", re.sub(r"\{[^}]*:uuid\}", str(UUID(int=1)), context.path))
            answer = await client.request(method, path)
            counted = requests_counted(method, context.path, answer.status_code)
            assert counted >= 1, (method, context.path, answer.status_code)
