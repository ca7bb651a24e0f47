"""Refuse what a route does not accept: unknown query parameters, another type of body, repeated names.

The dependency that declares a route's roles (``access``) calls ``refuse_unknown`` after it has checked the role. For a
request without query and body this costs one pass over the headers. The model of a body (``fields.RequestBody``)
refuses unknown fields, and ``form_parts`` refuses unknown parts of a form.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, get_origin

from fastapi import FastAPI, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from chassis.errors import Invalid
from chassis.http.validation_messages import repeated_names, unknown_name_errors, unknown_names

JSON = "application/json"
# Limits on fields per object, and on objects and lists per body. No call needs as many, and each error adds a message.
MAX_FIELDS = 200
MAX_NESTED = 5_000
# A longer body is checked in a thread.
QUICK_BYTES = 16 * 1024
# A longer body can only be a list of ids. Its parser accepts no repeated field.
MAX_COMPARED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a route accepts. ``query``: whether each parameter may repeat. ``media_types``: those of the body."""

    query: dict[str, bool]
    media_types: frozenset[str]


def accepted_by(route: APIRoute) -> Accepted:
    """Return what the signature of ``route`` declares. For a body that it reads itself, use its OpenAPI document."""
    query = {
        str(field.field_info.alias or field.name): get_origin(field.field_info.annotation) is list
        for field in get_flat_params(route.dependant)
        if isinstance(field.field_info, Query)
    }
    described = (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
    return Accepted(query, frozenset(described) or frozenset({JSON} if route.body_field is not None else ()))


def install(app: FastAPI, routes: list[APIRoute]) -> None:
    """Record what each of ``routes`` accepts."""
    app.state.accepted = {id(route): accepted_by(route) for route in routes}


async def refuse_unknown(request: Request) -> None:
    """Raise ``Invalid`` for a query parameter or body that the request's route does not accept."""
    scope = request.scope
    if scope["query_string"]:
        _refuse_query(request, _accepted(request).query)
    if scope["method"] != "GET" and _has_body(scope["headers"]):
        await _refuse_body(request, _accepted(request).media_types)


def _accepted(request: Request) -> Accepted:
    accepted: Accepted = request.app.state.accepted[id(request.scope["route"])]
    return accepted


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether there is a body. Reads the raw headers, which costs little in bursts of registrations."""
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


def _refuse_query(request: Request, known: dict[str, bool]) -> None:
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if unknown := [name for name in counts if name not in known]:
        raise Invalid(
            unknown_names("query parameter", unknown, known),
            status=400,
            errors=unknown_name_errors("query parameter", unknown),
        )
    if repeated := [name for name, count in counts.items() if count > 1 and not known[name]]:
        raise Invalid(repeated_names("query parameter", repeated), status=400)


async def _refuse_body(request: Request, media_types: frozenset[str]) -> None:
    if not media_types:
        await asyncio.to_thread(_refuse_any_field, await request.body())
        return
    if JSON not in media_types:
        return  # a file: its reader checks the type
    sent_type = media_type(request)
    if is_json(sent_type) or (not sent_type and len(media_types) > 1):
        await _refuse_costly(await request.body())
    elif media_types == {JSON}:
        raise unsupported_type(sent_type, JSON)


def _refuse_any_field(body: bytes) -> None:
    if body.strip() in (b"", b"{}", b"null"):
        return
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if isinstance(fields, dict):
        raise Invalid(unknown_names("field", list(fields), ()), status=400)
    raise Invalid("This call takes no body.", status=400)


async def _refuse_costly(body: bytes) -> None:
    """Raise ``Invalid`` for repeated fields, and for bodies that would take long to parse or validate."""
    if len(body) <= QUICK_BYTES:
        _refuse_repeated_fields(body)
        return
    # This count also includes braces inside texts, but hardly any text has so many.
    if body.count(b"{") + body.count(b"[") > MAX_NESTED:
        raise Invalid("The body has too many objects and lists.", status=400)
    if len(body) <= MAX_COMPARED_BYTES:
        await asyncio.to_thread(_refuse_repeated_fields, body)


def _refuse_repeated_fields(body: bytes) -> None:
    repeated: list[str] = []

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > MAX_FIELDS:
            raise Invalid(f"The body has more than {MAX_FIELDS} fields in one object.", status=400)
        fields = dict(pairs)
        if len(fields) < len(pairs):
            repeated.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return fields

    try:
        json.loads(body, object_pairs_hook=checked)
    except (ValueError, RecursionError):
        return  # the reader of the body refuses it and states the reason
    if repeated:
        raise Invalid(repeated_names("field", repeated), status=400)


def refuse_unknown_fields(fields: Collection[str], known: Collection[str]) -> None:
    """Raise ``Invalid`` (400) unless all ``fields`` are ``known``. For bodies that are read without a model."""
    if unknown := [name for name in fields if name not in known]:
        raise Invalid(unknown_names("field", unknown, known), status=400, errors=unknown_name_errors("field", unknown))


def media_type(request: Request) -> str:
    """Return the request's media type in lower case, without parameters; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(type_: str) -> bool:
    """Return whether ``type_`` is JSON or a JSON-based type (``application/merge-patch+json``)."""
    return type_ == JSON or (type_.startswith("application/") and type_.endswith("+json"))


def unsupported_type(sent_type: str, *accepted: str) -> Invalid:
    """Return the error (415) for a body of the type ``sent_type``. Its message names the ``accepted`` types."""
    reason = f"This call does not take {sent_type[:100]}" if sent_type else "The body has no Content-Type"
    return Invalid(f"{reason}. Send it as {' or '.join(accepted)}.", status=415)
