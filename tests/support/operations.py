"""List the operations of the OpenAPI document, each with a role that may call it and a valid path."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.users import Role
from services.api.http.access import declared_access, published_routes
from tests.conftest import Api

A_UUID = "01980c5e-5a0e-7b8a-9d2e-3c8f2f1f9d10"


@dataclass(frozen=True)
class Operation:
    """An operation. ``name``: such as "POST /api/drives". ``role``: a role that may call the operation.

    ``document``: the operation in the OpenAPI document.
    """

    name: str
    method: str
    path: str
    role: Role
    document: dict[str, Any]

    def parameters(self, place: str) -> list[dict[str, Any]]:
        return [parameter for parameter in self.document.get("parameters", ()) if parameter["in"] == place]

    @property
    def media_types(self) -> dict[str, Any]:
        media_types: dict[str, Any] = self.document.get("requestBody", {}).get("content", {})
        return media_types


def operations(api: Api) -> Iterator[Operation]:
    access = {
        f"{method} {path}": declared_access(route)
        for path, route in published_routes(api.app)
        for method in route.methods or ()
    }
    for path, methods in api.app.openapi()["paths"].items():
        for method, document in methods.items():
            name = f"{method.upper()} {path}"
            allowed = access[name]
            assert allowed is not None
            role = next(iter(sorted(allowed.roles)), Role.HEAD)
            yield Operation(name, method.upper(), _filled(path, document), role, document)


def _filled(path: str, document: dict[str, Any]) -> str:
    for parameter in document.get("parameters", ()):
        if parameter["in"] == "path":
            value = A_UUID if parameter["schema"].get("format") == "uuid" else "1"
            path = path.replace("{" + parameter["name"] + "}", "x.pdf" if parameter["name"] == "name" else value)
    return path
