"""Every route refuses undeclared input, with a message that names the input and lists the declared names."""

import itertools
import json
from typing import Any

import httpx
import pytest

from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.operations import Operation, operations
from tests.support.sizes import sized

JSON, MULTIPART, URLENCODED = "application/json", "multipart/form-data", "application/x-www-form-urlencoded"


async def send(api: Api, operation: Operation, path: str = "", **options: Any) -> httpx.Response:
    return await api._ask(operation.method, path or operation.path, operation.role, 900_001, **options)


def assert_refused(answer: httpx.Response, *names: str) -> None:
    request = f"{answer.request.method} {answer.request.url}"
    assert answer.status_code in (400, 422), f"{request}: {answer.status_code} {answer.text[:300]}"
    message = answer.json()["message"]
    assert all(name in message for name in names), f"{request}: {message}"


async def test_every_route_refuses_an_undeclared_query_parameter(api: Api) -> None:
    routes = 0
    for operation in operations(api):
        known = [parameter["name"] for parameter in operation.parameters("query")]
        assert_refused(await send(api, operation, f"{operation.path}?bracnh=CSE"), "bracnh", *known)
        for name in known:
            twice = await send(api, operation, f"{operation.path}?{name}=1&{name}=2")
            assert_refused(twice, name, "more than once")
        routes += 1
    assert routes > 50


async def test_every_route_refuses_an_undeclared_field(api: Api) -> None:
    routes = 0
    for operation in operations(api):
        if operation.method == "GET" or (operation.media_types and JSON not in operation.media_types):
            continue
        body = {**example(operation, api), "min_cpga": 9}
        answer = await send(api, operation, json=body)
        assert_refused(answer, "min_cpga", *known_fields(operation, api)[:3])
        assert any(error["field"] == "min_cpga" for error in answer.json().get("errors", [{"field": "min_cpga"}]))
        if operation.media_types:
            name = next(iter(known_fields(operation, api)))
            twice = f'{{"{name}": "1", "{name}": "2"}}'
            answer = await send(api, operation, content=twice, headers={"Content-Type": JSON})
            assert_refused(answer, name, "more than once")
        routes += 1
    assert routes > 25


async def test_a_route_without_a_body_accepts_only_an_empty_one(api: Api) -> None:
    await api.post("/api/drives", json={**DRIVE, "auto_calc": True})
    path = "/api/drives/1/stop-registrations"
    assert_refused(await api.post(path, "COORDINATOR", json={"force": True}), "force", "takes no fields")
    assert_refused(await api.post(path, "COORDINATOR", content=b"force=true"), "takes no body")
    empty: list[dict[str, Any]] = [{"json": {}}, {"content": b"null"}, {}]
    for options in empty:
        assert (await api.post(path, "COORDINATOR", **options)).status_code == 200


@pytest.mark.parametrize("name", ["\\ud800", "\\u0000", "x" * 10_000])
async def test_an_unprintable_or_long_field_name_is_refused(api: Api, name: str) -> None:
    for path in ("/api/users", "/api/drives", "/api/drives/1/stop-registrations"):
        role = "COORDINATOR" if path.endswith("registrations") else "HEAD"
        answer = await api.post(path, role, content=f'{{"{name}": 1}}', headers={"Content-Type": JSON})
        assert answer.status_code in (400, 422), answer.text
        assert len(answer.json()["message"]) < 1_000


async def test_another_content_type_gets_415(api: Api) -> None:
    for operation in operations(api):
        if not operation.media_types:
            continue
        answer = await send(api, operation, content=b"hello", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415, f"{operation.name}: {answer.text[:300]}"
        assert "text/plain" in answer.json()["message"] or "multipart/form-data" in answer.json()["message"]


async def test_requests_of_the_existing_frontend_are_accepted(api: Api) -> None:
    form = {**DRIVE, "domain_id": "", "job_description": "", "interview_date": "", "autoCalc": "true"}
    assert (await api.post("/api/drives", data=form, files={"pdf": ("", b"", "application/octet-stream")})).is_success
    for name in ("summary", "drives-over-time", "registrations-by-drive", "attendance-trend"):
        assert (await api.get(f"/api/analytics/{name}?days=30&drive_id=1&force=true")).status_code == 200
    assert (await api.get("/api/analytics/registrations-by-drive?limit=10&days=7")).status_code == 200
    assert (await api.get("/api/finished-drives?limit=10")).status_code == 200
    assert (await api.get("/api/notifications/mine?limit=15", "STUDENT")).status_code == 200
    assert (await api.post("/api/notifications/read-all", "STUDENT")).status_code == 200
    link = "/uploads/job-descriptions/x.pdf?exp=1&sig=0"
    assert (await api.client.get(link)).status_code == 403


async def test_an_empty_list_of_students_is_refused_and_a_missing_one_selects_all(api: Api) -> None:
    await api.post("/api/drives", json=DRIVE)
    empty = await api.post("/api/drives/1/publish", json={"selected_students": []})
    assert empty.status_code == 422
    assert "selected_students is empty" in empty.json()["message"]
    for body in ({"selected_students": None}, {}):
        assert (await api.post("/api/drives/1/publish", json=body)).status_code == 202


def schema_of(operation: Operation, api: Api) -> dict[str, Any]:
    schema: dict[str, Any] = operation.media_types.get(JSON, {}).get("schema", {})
    text = json.dumps(schema)
    for name, component in api.app.openapi()["components"]["schemas"].items():
        if f'"#/components/schemas/{name}"' in text:
            return dict(component)
    return schema


def known_fields(operation: Operation, api: Api) -> list[str]:
    return sorted(schema_of(operation, api).get("properties", {}))


def example(operation: Operation, api: Api) -> dict[str, Any]:
    """Return a body with all required fields. Their values may be wrong."""
    return dict.fromkeys(schema_of(operation, api).get("required", ()), "x")


WORDING = (
    "Input should", "String should", "Field required", "Value error", "valid dictionary", "Extra inputs", "pattern",
    "^", "\\", "[^", "type=", "JSON decode", "unable to parse",
)  # fmt: skip
BODIES: list[Any] = [[], "text", 7]
WRONG: list[Any] = ["", "x" * 70_000, "\u0000", "½", -1, 10**12, 1.5, True, None, [], ["", 1, None], {}, {"a": 1}]


@pytest.mark.timeout(300)
async def test_no_message_has_the_wording_of_the_validation_library(api: Api) -> None:
    """Send wrong values for each query parameter, header, path parameter and field of each route.

    In a small run, each field gets only some of the wrong values, in turn.
    """
    messages: set[str] = set()
    parts = sized(small=4, full=1)
    wrong = itertools.cycle(WRONG[part::parts] for part in range(parts))

    def keep(answer: httpx.Response, name: str) -> None:
        assert answer.status_code < 500, f"{name}: {answer.text[:300]}"
        if answer.status_code in (400, 404, 422):
            body = answer.json()
            messages.update([body["message"], *(str(error.get("message", "")) for error in body.get("errors", ()))])

    for operation in operations(api):
        for parameter in operation.parameters("query"):
            for value in ("", "x", "-1", "99999999999999999999", "1.555", "½"):
                keep(await send(api, operation, f"{operation.path}?{parameter['name']}={value}"), operation.name)
        if any(parameter["name"] == "idempotency-key" for parameter in operation.parameters("header")):
            keep(await send(api, operation, headers={"Idempotency-Key": "k" * 300}), operation.name)
        keep(await send(api, operation, operation.path.replace("/1", "/0").replace("/01980c", "/zz")), operation.name)
        for field in known_fields(operation, api):
            for value in next(wrong):
                keep(await send(api, operation, json={**example(operation, api), field: value}), operation.name)
        for body in BODIES:
            keep(await send(api, operation, json=body), operation.name)
    assert not {message for message in messages if any(words in message for words in WORDING)}
    assert len(messages) > 100


async def test_the_message_names_a_wrong_field_as_in_the_request(api: Api) -> None:
    async def message(path: str, body: Any) -> str:
        return str((await api.post(path, json=body)).json()["message"])

    assert await message("/api/drives", {**DRIVE, "min_cgpa": "11"}) == "min_cgpa must be 10 or less."
    assert await message("/api/drives", {**DRIVE, "min_cpga": 9}) == (
        "Unknown field: min_cpga (did you mean min_cgpa?). Known fields: autoCalc, auto_calc, batch_years, branches,"
        " company_name, domain_id, interview_date, job_description, job_title, max_backlogs, min_10th, min_12th,"
        " min_cgpa."
    )
    assert await message("/api/drives/1/publish", {"selected_students": [1, "2"]}) == (
        "selected_students: entry 2 is not a user id. It must be a whole number from 1."
    )
    for path in ("/api/auth/login", "/api/users"):
        secret = {"name": "A", "email": "a@college.edu", "role": "STAFF", "password": "x" * 2000}
        names = ("email", "password") if path.endswith("login") else tuple(secret)
        longest = 1024 if path.endswith("login") else 128
        assert await message(path, {name: secret[name] for name in names}) == (
            f"password must have at most {longest:,} characters."
        )
    short = {"name": "A", "email": "a@college.edu", "role": "STAFF", "password": "x"}
    assert await message("/api/users", short) == "password must have at least 8 characters."
    assert await message("/api/users", []) == "The body must be a JSON object."
    assert await message("/api/job-domains", {"domain_name": " "}) == "domain_name must not be empty."
    assert "email must be an e-mail address" in await message(
        "/api/users", {"name": "A", "email": "x", "role": "STAFF", "password": "correct horse"}
    )
