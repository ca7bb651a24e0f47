"""Rules for all requests: methods, rate limits, other origins, security headers, and the built frontend."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.replicas import replica

FRONTEND = "https://placement.college.edu"


@pytest.mark.parametrize("length", ["ten", "-1", "1.5", "+5", "1_0", ""])
async def test_an_invalid_content_length_gets_400(api: Api, length: str) -> None:
    answer = await api.post("/api/drives", content=b"{}", headers={"Content-Length": length})
    assert (answer.status_code, answer.json()["message"]) == (400, "The Content-Length is not a number.")


@pytest.mark.parametrize("path", ["/api/drives", "/api/drives/1", "/api/job-domains", "/api/students", "/livez"])
async def test_head_returns_the_headers_of_get_without_a_body(api: Api, path: str) -> None:
    await api.post("/api/drives", json=DRIVE)
    full, empty = await api.get(path), await api._ask("HEAD", path, "HEAD", None)
    assert (empty.status_code, empty.content) == (200, b"")
    for name in ("content-type", "content-length", "etag"):
        assert empty.headers.get(name) == full.headers.get(name)


async def test_a_head_request_for_a_stream_of_events_ends(api: Api) -> None:
    job = (await api.post("/api/drives", json={**DRIVE, "auto_calc": True})).json()["job"]["id"]
    answer = await api._ask("HEAD", f"/api/jobs/{job}/events", "HEAD", None)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/drives", "GET, HEAD, OPTIONS, POST"),
        ("/api/drives/1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/api/students/import", "OPTIONS, POST"),
        ("/livez", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_path_lists_its_methods(api: Api, path: str, methods: str) -> None:
    options = await api.client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, methods)
    refused = await api.client.put(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, methods)
    assert refused.headers["content-type"] == "application/problem+json"


async def test_an_unknown_path_gets_404_for_every_method(api: Api) -> None:
    for method in ("OPTIONS", "PUT", "HEAD"):
        assert (await api.client.request(method, "/api/nothing")).status_code == 404


async def test_responses_have_security_headers_for_browsers(api: Api) -> None:
    for answer in (await api.get("/api/drives"), await api.client.get("/api/nothing"), await api.client.get("/livez")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "content-security-policy" not in answer.headers
    page = await api.client.get("/api/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


async def test_an_unknown_method_is_not_used_as_a_metric_label(api: Api) -> None:
    await api.client.request("INVENTED", "/api/drives")
    assert "INVENTED" not in (await api.client.get("/metrics")).text


# --- Other origins


def preflight(origin: str, method: str = "PATCH", headers: str = "authorization,idempotency-key") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


async def test_other_origins_are_not_allowed_by_default(api: Api) -> None:
    answer = await api.get("/api/drives", headers={"Origin": FRONTEND})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight_answer = await api.client.options("/api/drives/1", headers=preflight(FRONTEND))
    assert not [name for name in preflight_answer.headers if name.startswith("access-control")]


async def test_only_listed_origins_may_call(database_url: str, tmp_path: Path) -> None:
    async with replica(database_url, tmp_path, cors_origins=f"{FRONTEND}, http://localhost:5173") as api:
        for origin in (FRONTEND, "http://localhost:5173"):
            preflight_answer = await api.client.options("/api/drives/1", headers=preflight(origin))
            assert preflight_answer.status_code == 200
            assert preflight_answer.headers["access-control-allow-origin"] == origin
            assert "PATCH" in preflight_answer.headers["access-control-allow-methods"]
            answer = await api.get("/api/drives", headers={"Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
            assert "ETag" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
            refused = await api.client.get("/api/drives", headers={"Origin": origin})
            assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)
        unlisted = "https://placement.college.edu.evil.example"
        assert (await api.client.options("/api/drives/1", headers=preflight(unlisted))).status_code == 400
        answer = await api.get("/api/drives", headers={"Origin": unlisted})
        assert "access-control-allow-origin" not in answer.headers


# --- Limits


async def test_too_frequent_requests_get_a_retry_after(database_url: str, tmp_path: Path) -> None:
    async with replica(database_url, tmp_path, requests_per_second=0.5, requests_burst=3) as api:
        answers = [await api.get("/api/drives", "STAFF", 7) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
        assert answers[-1].headers["content-type"] == "application/problem+json"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 2
        assert "Too many requests" in answers[-1].json()["message"]
        assert (await api.get("/api/drives", "STAFF", 8)).status_code == 200
        for path in ("/livez", "/readyz", "/metrics"):
            for _ in range(5):
                assert (await api.client.get(path)).status_code == 200


async def test_normal_polling_stays_below_the_limit(api: Api) -> None:
    """A student with 20 open drives and three tabs sends 123 requests at once, twice."""
    for _ in range(2 * 123):
        assert (await api.get("/api/job-domains", "STUDENT", 7)).status_code == 200


# --- The built frontend


@pytest_asyncio.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an API that serves a built frontend. A secret file lies outside of its folder."""
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>Placement</title>")
    (dist / "assets" / "index-DiwrgTda.js").write_text("run()")
    (dist / "assets" / "logo-of-the-college.svg").write_text("<svg/>")
    (dist / "favicon.ico").write_bytes(b"\0\0")
    (tmp_path / "secret.txt").write_text("secret")
    (dist / "assets" / "link.txt").symlink_to(tmp_path / "secret.txt")
    async with replica(database_url, tmp_path, frontend_dist=dist) as api:
        yield api.client


@pytest.mark.parametrize("path", ["/", "/drives/7", "/drives/7/", "/index.html", "/any/thing/else", "/assets", "/apis"])
async def test_every_page_of_the_frontend_returns_index_html(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Placement" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert (await client.get(path, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
    assert (await client.head(path)).status_code == 200


@pytest.mark.parametrize(
    ("path", "caching"),
    [
        ("/assets/index-DiwrgTda.js", "public, max-age=31536000, immutable"),
        ("/assets/logo-of-the-college.svg", "no-cache"),
        ("/favicon.ico", "no-cache"),
    ],
)
async def test_assets_with_a_hash_in_their_name_are_immutable(
    client: httpx.AsyncClient, path: str, caching: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, caching)


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/nothing", "/uploads/x.pdf", "/uploads", "/internal/jobs", "/assets/gone-DiwrgTda.js", "/a.js"],
)
async def test_paths_that_are_no_pages_get_a_json_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_frontend_does_not_shadow_the_api(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/drives")).status_code == 401
    assert (await client.get("/livez")).json() == {"status": "live"}
    assert (await client.get("/api/auth/login")).status_code == 405
    assert (await client.post("/drives/7")).status_code == 405
    assert (await client.get("/api/openapi.json")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "//etc/passwd", "/assets/link.txt", "/..\\secret.txt", "/%00", "/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_files_outside_of_the_folder_are_never_read(client: httpx.AsyncClient, path: str) -> None:
    # Set the raw path, because httpx would normalise it.
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await client.send(request)
    assert answer.status_code in (200, 404)
    assert "secret" not in answer.text
    assert "root:" not in answer.text


async def test_without_a_frontend_the_root_gets_a_json_404(api: Api) -> None:
    answer = await api.client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
