"""Complete the OpenAPI document: add the errors that every route may return."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from services.api.http.openapi import Problem, refusal

DESCRIPTION = """
The backend of a campus placement cell: drives, the students who are eligible, registrations, attendance.

**Signing in**: `POST /api/auth/login`, then `Authorization: Bearer <token>`.

**Errors** are `application/problem+json` (RFC 9457) with a `message` for people.

**Commands** accept an `Idempotency-Key`: a repeated request gets the first response, and takes effect once. A command
that starts a job returns a `job`; `Prefer: wait=5` waits up to five seconds for its result.
"""
BEARER = (
    "A token from `POST /api/auth/login`, which is valid for eight hours, or until the password changes. If another"
    " issuer (RS256) is configured, its tokens are valid too."
)

SIGNED_IN_PROBLEMS = {
    401: "Invalid token",
    403: "Forbidden: insufficient role",
    429: "Too many requests. Slow down a little.",
}
BODY_PROBLEMS = {
    400: "The body is not valid JSON.",
    413: "The request is too large: at most 1 MiB are accepted here.",
    415: "This call does not take text/plain. Send it as application/json.",
}
COMMON_PROBLEMS = {
    400: "The Content-Length is not a number.",
    503: "The service cannot reach its database right now. Nothing was saved; please try again.",
}
VALIDATION_EXAMPLE = "limit must be 200 or less."
# FastAPI's own schemas, which no route returns.
UNUSED = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Complete the OpenAPI document of ``app``. Call this after all routes were added."""
    fastapi_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(fastapi_openapi())
        document: dict[str, Any] = fastapi_openapi()
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    document["info"]["description"] = DESCRIPTION.strip()
    components = document["components"]
    components["schemas"]["Problem"] = Problem.model_json_schema()
    for name in UNUSED:
        components["schemas"].pop(name, None)
    components["securitySchemes"]["HTTPBearer"] |= {"bearerFormat": "JWT", "description": BEARER}
    for operation in _operations(document):
        responses = operation["responses"]
        for status, message in _common(operation).items():
            responses.setdefault(str(status), refusal(status, message))
        if "422" in responses and "HTTPValidationError" in str(responses["422"]):
            responses["422"] = refusal(422, VALIDATION_EXAMPLE)
        operation["responses"] = dict(sorted(responses.items()))


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _common(operation: dict[str, Any]) -> dict[int, str]:
    return {
        **COMMON_PROBLEMS,
        **(SIGNED_IN_PROBLEMS if "security" in operation else {}),
        **(BODY_PROBLEMS if "requestBody" in operation else {}),
    }
