"""Document the responses of routes. This costs nothing per request: FastAPI does not validate finished responses."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from chassis.http.problems import PROBLEM, TITLES
from contracts.jobs import Channel, State

Instant = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-24T02:39:19.365Z"],
    ),
]
TwoPlaces = Annotated[str, Field(pattern=r"^\d{1,3}\.\d\d$", examples=["6.00"])]
Count = Annotated[int, Field(ge=0)]


class Document(BaseModel):
    """A response body with exactly these fields. Fields with a default are optional."""

    model_config = ConfigDict(extra="forbid")


class Problem(Document):
    """A problem document (RFC 9457). ``message`` is the same text as ``detail``; ``errors``: invalid fields or rows."""

    type: str
    title: str
    status: int
    detail: str
    message: str
    errors: list[dict[str, Any]] = Field(default=[])


class MessageBody(Document):
    message: str = Field(examples=["Drive deleted successfully"])


class JobBrief(Document):
    """The job that the command requested. Read its current state at ``/api/jobs/{id}``.

    ``channel``: what woke the worker. ``delivery``: the channel that the API relied on when it responded. It is
    ``kafka``, ``http`` (a request to the service) or, if both failed, ``poll`` (the worker finds the job).
    """

    id: str = Field(json_schema_extra={"format": "uuid"})
    state: State
    channel: Channel | None
    delivery: Channel
    result: dict[str, Any] | None
    error: str | None


def documented(
    document: Any,
    refusals: Mapping[int, str] | None = None,
    *,
    description: str = "Done.",
    job: bool = False,
    tagged: bool = False,
    media_type: str = "application/json",
    example: Any = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the arguments of a route's decorator that document its responses.

    ``document``: the response body. ``refusals``: an error message by status. ``tagged``: the response has an ETag.
    ``example``: an example of the whole response, if its fields have none.
    ``job``: the command may request a job. The response is 202 if the job has not ended yet.
    ``openapi_document`` adds the errors of all routes (401, 403, 422, 429, 503 and so on).
    """
    status = options.get("status_code", 200)
    responses: dict[int | str, dict[str, Any]] = {
        code: refusal(code, message) for code, message in (refusals or {}).items()
    }
    if job:
        responses[202] = {"model": document, "description": "Accepted: the job has not ended yet.", "headers": LOCATION}
    if example is not None:
        responses[status] = {"content": {media_type: {"example": example}}}
    if tagged:
        responses[status] = {**responses.get(status, {}), "headers": ETAG}
        responses[304] = {"description": "The client's copy is current (If-None-Match).", "headers": ETAG}
    if media_type != "application/json":
        responses[status] = {"content": {media_type: document}}
        return {"response_description": description, "responses": responses, **options}
    return {"response_model": document, "response_description": description, "responses": responses, **options}


def refusal(status: int, message: str) -> dict[str, Any]:
    """Return an OpenAPI response with a problem document."""
    title = TITLES.get(status, HTTPStatus(status).phrase)
    example = {"type": "about:blank", "title": title, "status": status, "detail": message, "message": message}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    response: dict[str, Any] = {"description": title, "content": content}
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return response


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    described = {**schema, "description": description, "title": name.title()}
    return {"name": name, "in": "header", "required": False, "schema": described, "description": description}


def bodies(
    models: Mapping[str, type[BaseModel]], parts: Mapping[str, str] | None = None, *, required: bool = True
) -> dict[str, Any]:
    """Return ``openapi_extra`` for a route that parses its own body.

    ``models``: the model of the body by media type. ``parts``: the media type of each file of the form.
    """
    content: dict[str, Any] = {type_: {"schema": model.model_json_schema()} for type_, model in models.items()}
    if parts:
        content["multipart/form-data"]["encoding"] = {name: {"contentType": type_} for name, type_ in parts.items()}
    return {"openapi_extra": {"requestBody": {"required": required, "content": content}}}


# Headers of a command, for a route that reads them itself. For all other routes FastAPI documents them.
IDEMPOTENCY_KEY_DESCRIPTION = "A repeated request with the same key gets the first response again."
PREFER_DESCRIPTION = "`wait=5`: wait up to five seconds for the job's result."
COMMAND_HEADERS: dict[str, Any] = {
    "openapi_extra": {
        "parameters": [
            _header(
                "idempotency-key",
                IDEMPOTENCY_KEY_DESCRIPTION,
                {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "null"}]},
            ),
            _header("prefer", PREFER_DESCRIPTION, {"type": "string", "default": ""}),
        ]
    }
}
PAGE_GONE = {410: "The entry that this page starts after has been deleted. Start again from the first page."}
NO_SPACE = {507: "The server has no space left for this file. Nothing was saved; please inform your administrator."}
LOCATION = {"Location": {"description": "The job.", "schema": {"type": "string"}}}
ETAG = {"ETag": {"description": "Identifies exactly these bytes.", "schema": {"type": "string"}}}
