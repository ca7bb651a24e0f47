"""How a route says what it answers. It costs nothing at run time: FastAPI does not look at ready responses."""

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
    """Exactly these fields, always all of them unless they have a default."""

    model_config = ConfigDict(extra="forbid")


class Problem(Document):
    """RFC 9457. ``message`` is for people, and says the same as ``detail``; ``errors``: what is wrong where."""

    type: str
    title: str
    status: int
    detail: str
    message: str
    errors: list[dict[str, Any]] = Field(default=[])


class Said(Document):
    message: str = Field(examples=["Drive deleted successfully"])


class JobBrief(Document):
    """The work that the command asked for. Follow it at ``/api/jobs/{id}``, or with its events.

    ``channel``: what woke the worker. ``delivery``: what the API relied on when it answered: Kafka, its own request to
    the service, or, when neither was to be had, the worker's poll.
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
    says: str = "Done.",
    job: bool = False,
    tagged: bool = False,
    media_type: str = "application/json",
    example: Any = None,
    **options: Any,
) -> dict[str, Any]:
    """Arguments of a route's decorator: the answer's ``document``, and the route's own ``refusals`` (status, message).

    ``example``: of the whole answer, where its fields have none.
    ``job``: the command may ask for work, then it is 202 until that has ended. ``tagged``: the answer has an ETag.
    What any route may answer (401, 403, 422, 429, 503 and so on) is added by ``openapi``.
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
        responses[304] = {"description": "You have it already (If-None-Match).", "headers": ETAG}
    if media_type != "application/json":
        responses[status] = {"content": {media_type: document}}
        return {"response_description": says, "responses": responses, **options}
    return {"response_model": document, "response_description": says, "responses": responses, **options}


def refusal(status: int, message: str) -> dict[str, Any]:
    """A problem of an OpenAPI document."""
    title = TITLES.get(status, HTTPStatus(status).phrase)
    example = {"type": "about:blank", "title": title, "status": status, "detail": message, "message": message}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    found: dict[str, Any] = {"description": title, "content": content}
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    described = {**schema, "description": description, "title": name.title()}
    return {"name": name, "in": "header", "required": False, "schema": described, "description": description}


def bodies(
    models: Mapping[str, type[BaseModel]], parts: Mapping[str, str] | None = None, *, required: bool = True
) -> dict[str, Any]:
    """``openapi_extra`` of a route that reads its body by hand: a model for each media type, which only describes it.

    ``parts``: media types of a form's files.
    """
    content: dict[str, Any] = {type_: {"schema": model.model_json_schema()} for type_, model in models.items()}
    if parts:
        content["multipart/form-data"]["encoding"] = {name: {"contentType": type_} for name, type_ in parts.items()}
    return {"openapi_extra": {"requestBody": {"required": required, "content": content}}}


# Headers of a command. FastAPI documents them, except for the route that reads them by hand.
KEY_SAYS = "The same key again: the first answer again."
PREFER_SAYS = "`wait=5`: answer with the job's result if it ends in time."
ASKED: dict[str, Any] = {
    "openapi_extra": {
        "parameters": [
            _header(
                "idempotency-key",
                KEY_SAYS,
                {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "null"}]},
            ),
            _header("prefer", PREFER_SAYS, {"type": "string", "default": ""}),
        ]
    }
}
PAGE_GONE = {410: "The entry that this page starts after has been deleted. Start again from the first page."}
NO_SPACE = {507: "The server has no space left for this file. Nothing was saved; please inform your administrator."}
LOCATION = {"Location": {"description": "The job.", "schema": {"type": "string"}}}
ETAG = {"ETag": {"description": "Stands for exactly these bytes.", "schema": {"type": "string"}}}
