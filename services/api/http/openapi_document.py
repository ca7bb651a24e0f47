"""The OpenAPI document: what the routes say, and what any of them may answer besides."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from services.api.http.openapi import Problem, refusal

DESCRIPTION = """
The backend of a campus placement cell: drives, the students who are eligible, registrations, attendance.

**Signing in**: `POST /api/auth/login`, then `Authorization: Bearer <token>`.

**Errors** are `application/problem+json` (RFC 9457) with a `message` for people.

**Commands** take an `Idempotency-Key`: the same key again gives the first answer again, and one effect. What asks for
work answers with a `job`; `Prefer: wait=5` waits for it up to so many seconds.
"""
BEARER = (
    "From `POST /api/auth/login`: valid for eight hours, or until the password changes. Or, where one is set up, from"
    " another issuer (RS256)."
)

OF_SIGNED_IN = {
    401: "Invalid token",
    403: "Forbidden: insufficient role",
    429: "Too many requests. Slow down a little.",
}
OF_BODIES = {
    400: "The body is not valid JSON.",
    413: "The request is too large: at most 1 MiB are accepted here.",
    415: "This call does not take text/plain. Send it as application/json.",
}
OF_ALL = {
    400: "The Content-Length is not a number.",
    503: "The service cannot reach its database right now. Nothing was saved; please try again.",
}
NOT_VALID = "limit must be 200 or less."
# FastAPI's own schemas, which no route returns.
UNUSED = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Once all routes are there."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(made())
        found: dict[str, Any] = made()
        return found

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    document["info"]["description"] = DESCRIPTION.strip()
    components = document["components"]
    components["schemas"]["Problem"] = Problem.model_json_schema()
    for name in UNUSED:
        components["schemas"].pop(name, None)
    components["securitySchemes"]["HTTPBearer"] |= {"bearerFormat": "JWT", "description": BEARER}
    for operation in _operations(document):
        own = operation["responses"]
        for status, message in _common(operation).items():
            own.setdefault(str(status), refusal(status, message))
        if "422" in own and "HTTPValidationError" in str(own["422"]):
            own["422"] = refusal(422, NOT_VALID)
        operation["responses"] = dict(sorted(own.items()))


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _common(operation: dict[str, Any]) -> dict[int, str]:
    return {
        **OF_ALL,
        **(OF_SIGNED_IN if "security" in operation else {}),
        **(OF_BODIES if "requestBody" in operation else {}),
    }
