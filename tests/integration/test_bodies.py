"""Request bodies: no read before authorization, size limits, and no partial file on a full disk."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from starlette.types import Message

from contracts.users import Role
from services.api.http.access import SignedIn, declared_access, published_routes
from services.api.http.body_limits import MAX_BODY, MAX_UNAUTHENTICATED_BODY
from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.full_disk import files_up_to
from tests.support.system import bearer

KIB, MIB = 1024, 1024 * 1024
LIMITS = {"/api/drives": 27 * MIB, "/api/drives/1/publish": 16 * MIB, "/api/students/import": 512 * MIB}
PLACES = {
    "{drive_id}": "1", "{student_id}": "1", "{student_id:int}": "1", "{user_id}": "1", "{domain_id}": "1",
    "{notification_id}": "1", "{record_id}": "1",
}  # fmt: skip


def with_bodies(api: Api) -> Iterator[tuple[str, str, SignedIn]]:
    """Yield method, path and access of every route that a signed-in caller may send a body to."""
    for template, route in published_routes(api.app):
        access = declared_access(route)
        path = template
        for name, value in PLACES.items():
            path = path.replace(name, value)
        while "{" in path:
            path = path[: path.index("{")] + str(uuid4()) + path[path.index("}") + 1 :]
        for method in sorted((route.methods or set()) - {"GET", "HEAD"}):
            if isinstance(access, SignedIn):
                yield method, path, access


async def answered(
    api: Api, method: str, path: str, headers: dict[str, str], body: AsyncIterator[bytes] | None = None
) -> tuple[int, dict[str, Any]]:
    """Send a request. Return its status and problem. Without ``body``, the test fails if the app reads a body."""
    sent: list[Message] = []

    async def receive() -> Message:
        assert body is not None, f"{method} {path} reads the body"
        async for part in body:
            return {"type": "http.request", "body": part, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"", "client": ("127.0.0.1", 9),
        "server": ("api", 80), "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await api.app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], orjson.loads(content) if content else {}


@pytest.mark.parametrize("chunked", [True, False])
async def test_the_body_of_an_unauthorized_caller_is_not_read(api: Api, chunked: bool) -> None:
    routes = 0
    for method, path, access in with_bodies(api):
        for type_ in ("application/json", "multipart/form-data; boundary=x"):
            length = (
                {"transfer-encoding": "chunked"} if chunked else {"content-length": str(LIMITS.get(path, MAX_BODY))}
            )
            headers = length | {"content-type": type_}
            assert (await answered(api, method, path, headers))[0] == 401, (method, path)
            bad = headers | {"authorization": "Bearer nonsense"}
            assert (await answered(api, method, path, bad))[0] == 401, (method, path)
            for role in set(Role) - access.roles:
                status, _ = await answered(api, method, path, headers | bearer(role))
                assert status == 403, (method, path, role)
        routes += 1
    assert routes > 20


async def flood(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // (64 * KIB) + 1):
        yield b"x" * (64 * KIB)


async def test_every_body_has_a_limit(api: Api) -> None:
    for method, path, access in with_bodies(api):
        limit = LIMITS.get(path, MAX_BODY)
        headers = bearer(next(iter(access.roles))) | {"content-type": "application/json"}
        status, problem = await answered(api, method, path, headers | {"content-length": str(limit + 1)}, flood(MIB))
        assert (status, problem.get("message")) == (
            413, f"The request is too large: at most {limit // MIB} MiB are accepted here."
        ), (method, path)  # fmt: skip


@pytest.mark.parametrize("path", ["/api/drives/1/publish", "/api/job-domains", "/api/drives"])
async def test_a_body_without_a_content_length_has_the_same_limit(api: Api, path: str) -> None:
    limit = LIMITS.get(path, MAX_BODY)
    headers = bearer(Role.HEAD) | {"content-type": "application/json", "transfer-encoding": "chunked"}
    status, problem = await answered(api, "POST", path, headers, flood(limit))
    assert (status, problem["message"]) == (
        413, f"The request is too large: at most {limit // MIB} MiB are accepted here."
    )  # fmt: skip


@pytest.mark.parametrize(
    "length", [{"transfer-encoding": "chunked"}, {"content-length": str(MAX_UNAUTHENTICATED_BODY + 1)}]
)
async def test_bodies_of_unauthenticated_callers_have_a_small_limit(api: Api, length: dict[str, str]) -> None:
    headers = length | {"content-type": "application/json"}
    status, problem = await answered(api, "POST", "/api/auth/login", headers, flood(MAX_UNAUTHENTICATED_BODY))
    assert (status, problem["message"]) == (413, "The request is too large: at most 64 KiB are accepted here.")


# --- A full disk


def stored(folder: Path) -> list[Path]:
    return [path for path in (folder / "uploads").rglob("*") if path.is_file() and path.name != ".writable"]


@pytest.mark.parametrize(
    ("pdf_bytes", "free_bytes"), [(5 * MIB, 2 * MIB), (900 * KIB, 300 * KIB)], ids=["spool", "storage"]
)
async def test_a_full_disk_gets_507_and_stores_nothing(
    api: Api, tmp_path: Path, pdf_bytes: int, free_bytes: int
) -> None:
    pdf = b"%PDF-1.7\n" + b"x" * pdf_bytes
    files = {"pdf": ("job.pdf", pdf, "application/pdf")}
    with files_up_to(free_bytes):
        answer = await api.post("/api/drives", data=DRIVE, files=files)
    assert answer.status_code == 507, answer.text
    assert "no space left" in answer.json()["message"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert stored(tmp_path) == []
    assert (await api.get("/api/drives")).json() == []
    assert (await api.post("/api/drives", data=DRIVE, files=files)).status_code == 201
    assert len(stored(tmp_path)) == 1


@pytest.mark.parametrize("raw", [True, False])
async def test_an_import_on_a_full_disk_gets_507(api: Api, raw: bool) -> None:
    csv = b"name,email,roll_number\n" + b"A B,a@college.edu,R1\n" * 200_000
    body: dict[str, Any] = (
        {"content": csv, "headers": {"Content-Type": "text/csv"}} if raw else {"files": {"file": ("a.csv", csv)}}
    )
    with files_up_to(MIB):
        answer = await api.post("/api/students/import", **body)
    assert answer.status_code == 507, answer.text
    assert "no space left" in answer.json()["message"]


# --- A page after a deleted row


@pytest.mark.parametrize("path", ["/api/jobs", "/api/exports", "/api/dead-letters"])
async def test_a_page_after_a_deleted_row_gets_410(api: Api, path: str) -> None:
    answer = await api.get(path, params={"before": str(uuid4())})
    assert answer.status_code == 410
    assert "Start again from the first page" in answer.json()["message"]
