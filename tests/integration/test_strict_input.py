"""Every route refuses undeclared input, with a message that names it and lists the declared names."""

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


def refused(answer: httpx.Response, *names: str) -> None:
    asked = answer.request
    assert answer.status_code in (400, 422), f"{asked.method} {asked.url}: {answer.status_code} {answer.text[:300]}"
    message = answer.json()["message"]
    assert all(name in message for name in names), f"{asked.method} {asked.url}: {message}"


async def test_no_route_takes_a_query_parameter_that_it_does_not_declare(api: Api) -> None:
    seen = 0
    for operation in operations(api):
        known = [one["name"] for one in operation.parameters("query")]
        refused(await send(api, operation, f"{operation.path}?bracnh=CSE"), "bracnh", *known)
        for name in known:
            twice = await send(api, operation, f"{operation.path}?{name}=1&{name}=2")
            refused(twice, name, "more than once")
        seen += 1
    assert seen > 50


async def test_no_route_takes_a_field_that_it_does_not_declare(api: Api) -> None:
    seen = 0
    for operation in operations(api):
        if operation.method == "GET" or (operation.media_types and JSON not in operation.media_types):
            continue
        body = {**example(operation, api), "min_cpga": 9}
        answer = await send(api, operation, json=body)
        refused(answer, "min_cpga", *known_fields(operation, api)[:3])
        assert any(one["field"] == "min_cpga" for one in answer.json().get("errors", [{"field": "min_cpga"}]))
        if operation.media_types:
            name = next(iter(known_fields(operation, api)))
            twice = f'{{"{name}": "1", "{name}": "2"}}'
            answer = await send(api, operation, content=twice, headers={"Content-Type": JSON})
            refused(answer, name, "more than once")
        seen += 1
    assert seen > 25


async def test_a_route_without_a_body_takes_none_but_an_empty_one(api: Api) -> None:
    await api.post("/api/drives", json={**DRIVE, "auto_calc": True})
    path = "/api/drives/1/stop-registrations"
    refused(await api.post(path, "COORDINATOR", json={"force": True}), "force", "takes no fields")
    refused(await api.post(path, "COORDINATOR", content=b"force=true"), "takes no body")
    empty: list[dict[str, Any]] = [{"json": {}}, {"content": b"null"}, {}]
    for options in empty:
        assert (await api.post(path, "COORDINATOR", **options)).status_code == 200


@pytest.mark.parametrize("name", ["\\ud800", "\\u0000", "x" * 10_000])
async def test_a_name_that_cannot_be_printed_is_refused_all_the_same(api: Api, name: str) -> None:
    for path in ("/api/users", "/api/drives", "/api/drives/1/stop-registrations"):
        role = "COORDINATOR" if path.endswith("registrations") else "HEAD"
        answer = await api.post(path, role, content=f'{{"{name}": 1}}', headers={"Content-Type": JSON})
        assert answer.status_code in (400, 422), answer.text
        assert len(answer.json()["message"]) < 1_000


async def test_another_type_of_body_is_415(api: Api) -> None:
    for operation in operations(api):
        if not operation.media_types:
            continue
        answer = await send(api, operation, content=b"hello", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415, f"{operation.name}: {answer.text[:300]}"
        assert "text/plain" in answer.json()["message"] or "multipart/form-data" in answer.json()["message"]


async def test_what_the_existing_frontend_sends_is_known(api: Api) -> None:
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


async def test_an_empty_list_of_students_is_refused_and_none_selects_everyone(api: Api) -> None:
    await api.post("/api/drives", json=DRIVE)
    empty = await api.post("/api/drives/1/publish", json={"selected_students": []})
    assert empty.status_code == 422
    assert "selected_students is empty" in empty.json()["message"]
    for body in ({"selected_students": None}, {}):
        assert (await api.post("/api/drives/1/publish", json=body)).status_code == 202


def schema_of(operation: Operation, api: Api) -> dict[str, Any]:
    schema: dict[str, Any] = operation.media_types.get(JSON, {}).get("schema", {})
    text = json.dumps(schema)
    for name, found in api.app.openapi()["components"]["schemas"].items():
        if f'"#/components/schemas/{name}"' in text:
            return dict(found)
    return schema


def known_fields(operation: Operation, api: Api) -> list[str]:
    return sorted(schema_of(operation, api).get("properties", {}))


def example(operation: Operation, api: Api) -> dict[str, Any]:
    """The needed fields, by their names: what is wrong with their values does not matter here."""
    return dict.fromkeys(schema_of(operation, api).get("required", ()), "x")


WORDING = (
    "Input should", "String should", "Field required", "Value error", "valid dictionary", "Extra inputs", "pattern",
    "^", "\\", "[^", "type=", "JSON decode", "unable to parse",
)  # fmt: skip
BODIES: list[Any] = [[], "text", 7]
WRONG: list[Any] = ["", "x" * 70_000, "\u0000", "½", -1, 10**12, 1.5, True, None, [], ["", 1, None], {}, {"a": 1}]


@pytest.mark.timeout(300)
async def test_no_message_has_the_wording_of_the_validator(api: Api) -> None:
    """Wrong values for each query parameter, header, path parameter and field of each route.

    Small, each field gets some of the wrong values, the next field others.
    """
    messages: set[str] = set()
    parts = sized(small=4, full=1)
    wrong = itertools.cycle(WRONG[part::parts] for part in range(parts))

    def keep(answer: httpx.Response, name: str) -> None:
        assert answer.status_code < 500, f"{name}: {answer.text[:300]}"
        if answer.status_code in (400, 404, 422):
            body = answer.json()
            messages.update([body["message"], *(str(one.get("message", "")) for one in body.get("errors", ()))])

    for operation in operations(api):
        for one in operation.parameters("query"):
            for value in ("", "x", "-1", "99999999999999999999", "1.555", "½"):
                keep(await send(api, operation, f"{operation.path}?{one['name']}={value}"), operation.name)
        if any(one["name"] == "idempotency-key" for one in operation.parameters("header")):
            keep(await send(api, operation, headers={"Idempotency-Key": "k" * 300}), operation.name)
        keep(await send(api, operation, operation.path.replace("/1", "/0").replace("/01980c", "/zz")), operation.name)
        for field in known_fields(operation, api):
            for value in next(wrong):
                keep(await send(api, operation, json={**example(operation, api), field: value}), operation.name)
        for body in BODIES:
            keep(await send(api, operation, json=body), operation.name)
    assert not {message for message in messages if any(words in message for words in WORDING)}
    assert len(messages) > 100


async def test_a_wrong_field_is_named_as_the_caller_knows_it(api: Api) -> None:
    async def said(path: str, body: Any) -> str:
        return str((await api.post(path, json=body)).json()["message"])

    assert await said("/api/drives", {**DRIVE, "min_cgpa": "11"}) == "min_cgpa must be 10 or less."
    assert await said("/api/drives", {**DRIVE, "min_cpga": 9}) == (
        "Unknown field: min_cpga (did you mean min_cgpa?). Known fields: autoCalc, auto_calc, batch_years, branches,"
        " company_name, domain_id, interview_date, job_description, job_title, max_backlogs, min_10th, min_12th,"
        " min_cgpa."
    )
    assert await said("/api/drives/1/publish", {"selected_students": [1, "2"]}) == (
        "selected_students: entry 2 is not a user id. It must be a whole number from 1."
    )
    for path in ("/api/auth/login", "/api/users"):
        secret = {"name": "A", "email": "a@college.edu", "role": "STAFF", "password": "x" * 2000}
        names = ("email", "password") if path.endswith("login") else tuple(secret)
        longest = 1024 if path.endswith("login") else 128
        assert await said(path, {name: secret[name] for name in names}) == (
            f"password must have at most {longest:,} characters."
        )
    short = {"name": "A", "email": "a@college.edu", "role": "STAFF", "password": "x"}
    assert await said("/api/users", short) == "password must have at least 8 characters."
    assert await said("/api/users", []) == "The body must be a JSON object."
    assert await said("/api/job-domains", {"domain_name": " "}) == "domain_name must not be empty."
    assert "email must be an e-mail address" in await said(
        "/api/users", {"name": "A", "email": "x", "role": "STAFF", "password": "correct horse"}
    )
