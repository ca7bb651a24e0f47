"""Errors over HTTP: ``application/problem+json`` (RFC 9457) with a ``message``, which the frontend shows."""

import errno
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_args

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from chassis.errors import (
    Conflict,
    Contended,
    DomainError,
    Forbidden,
    Invalid,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    PageGone,
    ReadOnly,
    StorageFailed,
    StorageFull,
    Throttled,
    Unauthenticated,
    Unavailable,
)
from chassis.http.responses import json_response
from chassis.http.validation_messages import field_errors, field_name, unknown_name_errors, unknown_names

PROBLEM = "application/problem+json"
RETRY_AFTER_S = 2
# How many errors a message shows; ``errors`` lists all.
SHOWN_ERRORS = 5
TITLES = {
    400: "Bad request", 401: "Not signed in", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
    409: "Conflict", 410: "Gone", 413: "Too large", 415: "Unsupported media type", 416: "Range not satisfiable",
    422: "Not valid", 429: "Too many requests", 500: "Internal error", 503: "Not available right now",
    507: "No space left",
}  # fmt: skip

# Full disk, full quota, limit on the size of a file.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = structlog.get_logger()

NameOf = Callable[[tuple[int | str, ...]], str]


def problem(
    status: int, message: str, *, headers: dict[str, str] | None = None, errors: list[dict[str, Any]] | None = None
) -> Response:
    """Return the response for an error. ``errors``: one entry for each fault."""
    message = _printable(message)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": message,
        "message": message,
    }
    if errors:
        body["errors"] = [
            {name: _printable(value) if isinstance(value, str) else value for name, value in fault.items()}
            for fault in errors
        ]
    return json_response(body, status, headers, media_type=PROBLEM)


def _printable(text: str) -> str:
    """Replace lone surrogates, which the text may quote from the caller's JSON."""
    return text.encode(errors="replace").decode()


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem document. It contains no SQL, stack traces or host names."""
    for error_class, answer in _ANSWERS.items():
        app.add_exception_handler(error_class, answer)


def _refused(_request: Request, error: Exception) -> Response:
    status = _STATUS.get(type(error), 409)
    return problem(status, str(error), headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)


def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Invalid)
    return problem(error.status, str(error), errors=error.errors)


def _throttled(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Throttled)
    return problem(429, str(error), headers={"Retry-After": str(error.retry_after_s)})


def _conflict(_request: Request, _error: Exception) -> Response:
    return problem(409, "Somebody else changed this at the same moment. Reload and try again.")


def _unavailable(_request: Request, error: Exception) -> Response:
    log.warning("request.unavailable", reason=str(error))
    message = "The service cannot reach its database right now. Nothing was saved; please try again."
    return problem(503, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def _read_only(_request: Request, error: Exception) -> Response:
    log.warning("request.read_only", reason=str(error))
    message = "The service accepts no changes right now. Nothing was saved; please try again."
    return problem(503, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def _outcome_unknown(_request: Request, error: Exception) -> Response:
    log.warning("request.outcome_unknown", reason=str(error))
    message = (
        "The connection to the database was lost during the request. It may have been saved: check, or repeat the"
        " request with the same Idempotency-Key."
    )
    return problem(503, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def _contended(_request: Request, error: Exception) -> Response:
    log.warning("request.contended", reason=str(error))
    message = "Too many people are changing the same thing right now. Nothing was saved; please try again."
    return problem(503, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def _storage_failed(_request: Request, error: Exception) -> Response:
    log.warning("request.storage_failed", reason=str(error.__cause__ or error))
    return problem(503, "The file storage does not work right now.", headers={"Retry-After": str(RETRY_AFTER_S)})


def _overloaded(_request: Request, error: Exception) -> Response:
    return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


def _storage_full(_request: Request, error: Exception) -> Response:
    log.error("request.storage_full", reason=str(error.__cause__ or error))
    return problem(
        507,
        "The server has no space left for this file. Nothing was saved; please inform your administrator.",
    )


def _system_error(request: Request, error: Exception) -> Response:
    """Answer an ``OSError``, for example when the temporary file of a large body does not fit on the disk."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return _storage_full(request, error)
    return _bug(request, error)


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem(400, "The body is not valid JSON.")
    message, errors = explained(faults, known_fields(request))
    return problem(getattr(request.scope.get("route"), "invalid_status", 422), message, errors=errors)


def explained(
    faults: Sequence[Mapping[str, Any]], known: Collection[str] = (), name_of: NameOf | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """Return the message and the ``errors`` for validation errors ``faults`` in a body with ``known`` fields.

    ``name_of`` returns the name of the field at a location. The default expects the locations that FastAPI reports.
    """
    unknown = [str(fault["loc"][-1]) for fault in faults if fault["type"] == "extra_forbidden"]
    rest = [fault for fault in faults if fault["type"] != "extra_forbidden"]
    errors = unknown_name_errors("field", unknown)
    named = field_errors(rest, name_of or _without_source)
    sentences = [unknown_names("field", unknown, known)] if unknown else []
    return " ".join([*sentences, *(fault["message"] for fault in named[:SHOWN_ERRORS])]), [*errors, *named]


def _without_source(location: tuple[int | str, ...]) -> str:
    """Return the location without its first part: body, path, query or header."""
    return field_name(location[1:]) or ("The body" if location[0] == "body" else str(location[0]))


def known_fields(request: Request) -> list[str]:
    """Return the body fields that the request's route declares in its model."""
    body = getattr(request.scope.get("route"), "body_field", None)
    annotation = body.field_info.annotation if body is not None else None
    types = (annotation, *get_args(annotation))
    models = [type_ for type_ in types if isinstance(type_, type) and issubclass(type_, BaseModel)]
    return [info.alias or name for model in models for name, info in model.model_fields.items()]


def _nul(_request: Request, _error: Exception) -> Response:
    return problem(422, "Text must not contain NUL characters.")


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def _bug(request: Request, error: Exception) -> Response:
    # The route's template, not the path: a path may hold personal data.
    log.error("request.failed", route=getattr(request.scope.get("route"), "path", None), exc_info=error)
    return problem(500, "Something went wrong on our side. It has been logged.")


_STATUS: dict[type[Exception], int] = {NotFound: 404, Forbidden: 403, Unauthenticated: 401, PageGone: 410}

_ANSWERS = {
    DomainError: _refused,
    Invalid: _invalid,
    Throttled: _throttled,
    Conflict: _conflict,
    Contended: _contended,
    OutcomeUnknown: _outcome_unknown,
    ReadOnly: _read_only,
    Unavailable: _unavailable,
    Overloaded: _overloaded,
    StorageFull: _storage_full,
    StorageFailed: _storage_failed,
    OSError: _system_error,
    RequestValidationError: _malformed,
    # NUL is the only character that Postgres refuses, in text (22021) and in JSON (22P05).
    asyncpg.CharacterNotInRepertoireError: _nul,
    asyncpg.UntranslatableCharacterError: _nul,
    HTTPException: _http,
    Exception: _bug,
}
