"""The API agrees with its OpenAPI document: schemathesis runs all its checks on every route, as each role."""

import asyncio
import itertools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
import schemathesis
from fastapi import FastAPI
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.python import asgi
from schemathesis.transport.serialization import Binary

from contracts.users import Role
from services.api.http.access import Access, declared_access, published_routes
from services.api.main import create_app
from tests.support.bulk_students import DRIVE
from tests.support.service_settings import api_settings
from tests.support.sizes import FULL, sized
from tests.support.system import bearer

EXAMPLES = sized(small=2, full=12)
WRONG_VALUES = ("coverage", "fuzzing")

# Further statuses that are allowed for valid requests: only the database knows whether these values are right.
REFUSED_BY_DATA = {
    "POST /api/drives/{drive_id}/publish": "422",  # a selected student who is not eligible
    "POST /api/attendance/{drive_id}/publish": "400",  # no student is marked yet
    "POST /api/students/import": "422",  # a file with a row that is wrong
    "POST /api/exports": "422",  # columns that the kind does not have, a drive for a kind that has none
    "POST /api/registrations/{drive_id}/export": "422",  # columns that registrations do not have
    "GET /api/jobs": "410",  # a page after an unknown entry
    "GET /api/exports": "410",  # the same
    "GET /api/dead-letters": "410",  # the same
    "GET /api/drives/{drive_id}/eligibility": "422",  # a moment in the future
    "GET /api/eligibility/{drive_id}/explain": "422",  # the same, or staff without a student id
}
# Random values are never accepted here, because a signature or a password is needed.
NEVER_ACCEPTED = {"GET /uploads/job-descriptions/{name}", "POST /api/auth/login", "POST /api/auth/password"}

# Only many examples find values that these operations accept.
SELDOM_ACCEPTED = {
    "POST /api/auth/accept-invitation",
    "PATCH /api/notifications/{notification_id}/read",
    "POST /api/users/{user_id}/password-link",
    "GET /api/exports/{export_id}/file",
    "GET /api/jobs/{job_id}/events",
    "POST /api/jobs/{job_id}/cancel",
}

PDF = b"%PDF-1.7\n1 0 obj\n%%EOF"
CSV = b"name,email,roll_number\nAsha,asha@college.edu,R1\n"

REAL: dict[str, Any] = {"pdf": Binary(PDF), "file": Binary(CSV), "domain_id": "1"}
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")

# Schemathesis does not generate such large ids, so it cannot change the role or password of its own callers.
FIRST_USER_ID = 1_234_567_890
RESTART = f"ALTER SEQUENCE user_id_seq RESTART {FIRST_USER_ID}"

numbers = itertools.count()
# Cases whose body a hook has replaced. Schemathesis checks them again, and reports the bytes of a file as a wrong type.
rewritten: set[str] = set()


@schemathesis.hook
def before_call(_context: Any, case: schemathesis.Case[Any], _kwargs: Any) -> None:
    """Replace values that would be refused.

    Each request gets a new idempotency key, because a used key gets 422. A valid form gets a real file and an existing
    job domain.
    """
    if case.headers and case.headers.get("idempotency-key"):
        case.headers["idempotency-key"] = f"{case.headers['idempotency-key'][:200]}{next(numbers)}"
    if isinstance(case.body, dict) and isinstance(roll := case.body.get("roll_number"), str) and roll:
        # `placewire verify`, which runs after each test, reports a roll number that is released and used again.
        case.body["roll_number"] = f"{roll[:50]}{next(numbers)}"
    if case.media_type in FORMS and case.meta and case.meta.generation.mode.is_positive:
        form = cast("dict[str, Any]", case.body)
        form |= {name: value for name, value in REAL.items() if name in form}
        rewritten.add(case.id)


@schemathesis.hook
def before_load_schema(_context: Any, document: dict[str, Any]) -> None:
    """Allow only existing job domains in requests, because the schema cannot list them."""
    for path, methods in document["paths"].items():
        for operation in methods.values() if path.startswith("/api/drives") else ():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if "domain_id" in body.get("properties", {}):
                body["properties"]["domain_id"] = {"enum": [1, None]}


@contextmanager
def serving(database_url: str, folder: Path) -> Iterator[tuple[FastAPI, dict[Role, int]]]:
    """Yield an API with data of every kind, and the id of a user of each role."""
    asyncio.run(_restart(database_url))
    app = create_app(
        api_settings(database_url, folder, requests_per_second=1e6, requests_burst=10**6, log_level="error")
    )
    try:
        with asgi.get_client(cast("asgi.ASGIApp", app)) as client:
            while not app.state.guard.changes.listening:
                time.sleep(0.05)
            yield app, _seeded(client)
    finally:
        asgi.shutdown_lifespans()
        asgi._shutdown()  # ends the event loop of schemathesis; there is no public function for this


async def _restart(database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute(RESTART)
    await owner.close()


def _seeded(client: Any) -> dict[Role, int]:
    def created(path: str, **options: Any) -> dict[str, Any]:
        answer = client.post(path, headers=bearer(), **options)
        assert answer.status_code < 300, answer.text
        body: dict[str, Any] = answer.json()
        return body

    created("/api/job-domains", json={"domain_name": "Cloud Computing"})
    staff = {
        role: created(
            "/api/users", json={"name": role, "email": f"{role}@c.edu", "role": role, "password": "correct horse"}
        )["user_id"]
        for role in (Role.HEAD, Role.COORDINATOR, Role.STAFF)
    }
    student = {"name": "S", "email": "s@c.edu", "roll_number": "S1", "cgpa": "9.5", "tenth_percent": 90}
    ids = {**staff, Role.STUDENT: created("/api/students", json=student)["student_id"]}
    for auto_calc in (True, False):
        created("/api/drives", json={**DRIVE, "auto_calc": auto_calc})
    return ids


def config_for(token: str, others: set[str], briefly: set[str]) -> schemathesis.Config:
    """Return the configuration of a run with ``token``: every check, for all operations but ``others``.

    Operations in ``briefly`` run with their examples and in sequences of requests, without the phases that try all
    kinds of wrong values.
    """
    accepted = ["2xx", "3xx", "401", "403", "404", "409", "429"]
    return schemathesis.Config.from_dict(
        {
            "seed": 1,
            "workers": 1,
            "continue-on-failure": True,
            "max-stream-events": 1,
            "suppress-health-check": ["all"],
            "auth": {"openapi": {"HTTPBearer": {"bearer": token}}},
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "no-shrink": True, "database": "none"},
            "phases": {"stateful": {"max-steps": 8, "generation": {"max-examples": sized(small=2, full=10)}}},
            "operations": [
                {
                    "include-name": name,
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*accepted, status]}},
                }
                for name, status in REFUSED_BY_DATA.items()
            ]
            + [{"include-name": name, "enabled": False} for name in sorted(others)]
            + [
                {"include-name": name, "phases": {phase: {"enabled": False} for phase in WRONG_VALUES}}
                for name in sorted(briefly)
            ],
        }
    )


def operations(app: FastAPI) -> dict[str, Access]:
    """Return the access rule of each operation, by its name."""
    rules: dict[str, Access] = {}
    for path, route in published_routes(app):
        access = declared_access(route)
        assert access is not None
        rules |= {f"{method} {path}": access for method in route.methods or ()}
    return rules


def test_every_operation_is_described_with_schemas_examples_and_errors(tmp_path: Path) -> None:
    document = create_app(api_settings("postgresql://nobody@127.0.0.1:9/none", tmp_path)).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert list(missing_in(operation, document)) == [], f"{method} {path}"
    assert "HTTPValidationError" not in str(document)


def missing_in(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    if not operation.get("description") or not operation.get("summary"):
        yield "no description"
    for status, answer in operation["responses"].items():
        for type_, content in answer.get("content", {}).items():
            if status >= "400" and (type_ != "application/problem+json" or "message" not in content["example"]):
                yield f"{status} is no problem"
            if not content.get("schema"):
                yield f"{status} has no schema"
            has_example = "example" in content or _has_examples(content.get("schema", {}), document)
            if status < "300" and type_ == "application/json" and not has_example:
                yield f"{status} has no examples"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if not content.get("schema"):
            yield "the body has no schema"


def _has_examples(schema: dict[str, Any], document: dict[str, Any]) -> bool:
    for name in re.findall("#/components/schemas/([^']*)'", str(schema)):
        fields = document["components"]["schemas"][name]["properties"].values()
        return any("example" in str(field) or "$ref" in str(field) for field in fields)
    return "example" in str(schema)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "role", [role if role is Role.HEAD else pytest.param(role, marks=pytest.mark.full_only) for role in Role]
)
def test_every_route_agrees_with_its_documentation(database_url: str, tmp_path: Path, role: Role) -> None:
    """Call each route as a role that may call it. test_access.py checks that other roles are refused.

    Whether a value is refused does not depend on the role. A small run tries wrong values only as one role per route.
    """
    with serving(database_url, tmp_path) as (app, ids):
        allowed = {name for name, access in operations(app).items() if access.public or role in access.roles}
        token = bearer(role, ids[role])["Authorization"].removeprefix("Bearer ")
        briefly = allowed - {name for name, access in operations(app).items() if in_full(name, access, role)}
        config = config_for(token, operations(app).keys() - allowed, briefly)
        schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, config=config)
        failures: dict[str, str] = {}
        accepted: set[str] = set()
        for event in from_schema(schema).execute():
            assert not isinstance(event, events.NonFatalError | events.FatalError), event
            if isinstance(event, events.ScenarioFinished):
                failures |= dict(failures_of(event.recorder))
                accepted |= set(accepted_in(event.recorder))
    assert not failures, "\n\n".join(failures.values())
    # With few examples, an accepted request may be missing. The first role of an operation runs many examples.
    assert allowed - briefly - accepted - NEVER_ACCEPTED == set()


def in_full(name: str, access: Access, role: Role) -> bool:
    first = next(candidate for candidate in Role if access.public or candidate in access.roles)
    return FULL or name in SELDOM_ACCEPTED or role is first


def failures_of(recorder: ScenarioRecorder) -> Iterator[tuple[str, str]]:
    """Yield a key and a text for each failure. Failures of the same kind have the same key."""
    for case_id, checks in recorder.checks.items():
        name = recorder.cases[case_id].value.operation.label
        for check in checks:
            if check.failure_info is not None and _counts(case_id, check.failure_info.failure):
                failure = check.failure_info.failure
                answer = recorder.interactions[case_id].response
                outcome = f"{answer.status_code} {answer.content[:500]!r}" if answer is not None else "no answer"
                text = f"{name}: {failure.title}\n{failure.message}\n{check.failure_info.code_sample}\n{outcome}"
                yield f"{name} {failure.title} {failure.message}", text


def _counts(case_id: str, failure: Failure) -> bool:
    return not (isinstance(failure, AcceptedNegativeData) and case_id in rewritten)


def accepted_in(recorder: ScenarioRecorder) -> Iterator[str]:
    """Yield the operations that answered with 2xx."""
    for case_id, interaction in recorder.interactions.items():
        if interaction.response is not None and 200 <= interaction.response.status_code < 300:
            yield recorder.cases[case_id].value.operation.label
