"""Every operation of the OpenAPI document, with who may call it and a path that can be called."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.users import Role
from services.api.http.access import declared_access, published_routes
from tests.conftest import Api

A_UUID = "01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10"


@dataclass(frozen=True)
class Operation:
    """``name``: as in "POST /api/drives". ``role`` is one that may call it; ``document`` is the OpenAPI operation."""

    name: str
    method: str
    path: str
    role: Role
    document: dict[str, Any]

    def parameters(self, place: str) -> list[dict[str, Any]]:
        return [one for one in self.document.get("parameters", ()) if one["in"] == place]

    @property
    def media_types(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document.get("requestBody", {}).get("content", {})
        return found


def operations(api: Api) -> Iterator[Operation]:
    access = {
        f"{method} {path}": declared_access(route)
        for path, route in published_routes(api.app)
        for method in route.methods or ()
    }
    for path, methods in api.app.openapi()["paths"].items():
        for method, document in methods.items():
            name = f"{method.upper()} {path}"
            who = access[name]
            assert who is not None
            role = next(iter(sorted(who.roles)), Role.HEAD)
            yield Operation(name, method.upper(), _filled(path, document), role, document)


def _filled(path: str, document: dict[str, Any]) -> str:
    for one in document.get("parameters", ()):
        if one["in"] == "path":
            value = A_UUID if one["schema"].get("format") == "uuid" else "1"
            path = path.replace("{" + one["name"] + "}", "x.pdf" if one["name"] == "name" else value)
    return path
