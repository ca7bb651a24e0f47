"""The gateway in front of the real API: hidden paths, limits, headers, and retries at other replicas."""

import asyncio
import http.client
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.users import Role
from devstack.ports import LOOPBACK, free_port
from tests.support.leftovers import for_the_session
from tests.support.nginx import gateway, needs_nginx
from tests.support.system import System, bearer

pytestmark = needs_nginx

MIB = 1024 * 1024
OTHER_ORIGIN = "https://frontend.example"


@pytest.fixture(scope="module")
def upstream(module_system: System) -> str:
    """Return the address of an API without workers."""
    with for_the_session():
        module_system.start(
            "api", CORS_ORIGINS=OTHER_ORIGIN, TRUSTED_PROXIES=LOOPBACK, LOGIN_FAILURES_PER_SOURCE_PER_MINUTE="3"
        )
    return f"{LOOPBACK}:{module_system.ports['api']}"


@pytest.fixture(scope="module")
def front_url(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a gateway in front of the API."""
    with ExitStack() as undo:
        with for_the_session():
            url = undo.enter_context(gateway(tmp_path_factory.mktemp("gateway"), upstream))
        yield url


@pytest.fixture
def front(front_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front_url, timeout=30) as client:
        yield client


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[httpx.Client]:
    """Yield a client of a gateway without an API. The gateway answers 503 to requests that it would forward."""
    with (
        gateway(tmp_path / "gateway", f"{LOOPBACK}:{free_port()}") as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def test_the_response_has_the_correlation_id_of_the_request(front: httpx.Client) -> None:
    id_ = uuid4()
    for name, value in (("X-Request-ID", str(id_)), ("X-Correlation-Id", str(id_)), ("X-Request-ID", id_.hex)):
        answer = front.get("/api/drives", headers={name: value, **bearer()})
        assert answer.status_code == 200
        assert UUID(answer.headers["X-Correlation-Id"]) == UUID(answer.headers["X-Request-ID"]) == id_
    generated = front.get("/api/drives", headers={"X-Request-ID": "'; DROP TABLE", **bearer()})
    assert UUID(generated.headers["X-Correlation-Id"]) == UUID(generated.headers["X-Request-ID"])


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="NOT TESTED: there is no setpriv here")
def test_the_gateway_starts_when_the_limit_of_open_files_cannot_be_raised(tmp_path: Path) -> None:
    """Some containers may not raise the limit. Here, root loses the capability to raise its hard limit."""
    drop_capability = ("setpriv", "--bounding-set=-sys_resource") if os.geteuid() == 0 else ()
    launcher = ("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh", *drop_capability)
    with gateway(tmp_path / "gateway", f"{LOOPBACK}:{free_port()}", launcher=launcher) as url:
        assert httpx.get(f"{url}/gateway").status_code == 200
    assert "setrlimit(RLIMIT_NOFILE, 65536) failed" in (tmp_path / "gateway" / "nginx.log").read_text()


HIDDEN = (
    "/internal/jobs", "/internal", "/metrics", "/livez", "/readyz", "//metrics", "/%6detrics", "/api/../metrics",
    "/api/%2e%2e/internal/jobs", "/api/..%2fmetrics", "/uploads/../readyz", "/storage/placewire/?list-type=2",
    "/storage/placewire/export.csv",
)  # fmt: skip


def test_internal_paths_are_not_found(alone: httpx.Client) -> None:
    # httpx cannot be used, because it normalises the path.
    connection = http.client.HTTPConnection(alone.base_url.host, alone.base_url.port, timeout=10)
    statuses = set()
    for path in HIDDEN:
        connection.request("GET", path, headers=bearer())
        answer = connection.getresponse()
        answer.read()
        statuses.add((path, answer.status))
    connection.close()
    assert statuses == {(path, 404) for path in HIDDEN}


async def burst(
    client: httpx.Client, count: int, *each: dict[str, str], path: str = "/api/drives", source: str = LOOPBACK
) -> bytes:
    """Send ``count`` requests at once over one connection from ``source``. Return the responses.

    The requests use the headers ``each`` in turn.
    """
    requests = []
    for number in range(count):
        last = {"Connection": "close"} if number == count - 1 else {}
        headers = each[number % len(each)] | last
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        requests.append(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n")
    host, port = client.base_url.host, client.base_url.port
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
    writer.write("".join(requests).encode())
    async with asyncio.timeout(30):
        answers = await reader.read(-1)
    writer.close()
    return answers


def counted(answers: bytes) -> dict[int, int]:
    return {status: answers.count(b"HTTP/1.1 %d " % status) for status in (200, 429, 503)}


async def test_polling_is_never_limited_but_a_flood_is(alone: httpx.Client) -> None:
    """A page sends 41 requests in 3 s (contract 1.5). Here, nine pages of one student start at once."""
    assert counted(await burst(alone, 9 * 41, bearer(Role.STUDENT, 7))) == {200: 0, 429: 0, 503: 9 * 41}
    flood = await burst(alone, 900, {}, source="127.0.0.9")
    assert counted(flood)[429] > 0
    refused = flood.partition(b"HTTP/1.1 429 ")[2].partition(b"HTTP/1.1 ")[0]
    assert b"Content-Type: application/problem+json" in refused
    assert b"Retry-After: 1\r\n" in refused
    assert b'"message":"Too many requests' in refused
    # Each caller with a token has a separate limit.
    assert counted(await burst(alone, 41, bearer(Role.STUDENT, 8))) == {200: 0, 429: 0, 503: 41}


async def test_invalid_tokens_and_forged_addresses_are_limited_by_source(alone: httpx.Client) -> None:
    """Callers with an invalid token share the limit of their address. At sign-in, tokens do not count."""
    made_up = [{"Authorization": f"Bearer {number}"} for number in range(900)]
    assert counted(await burst(alone, 900, *made_up, source="127.0.0.9"))[429] > 0
    assert counted(await burst(alone, 41, {}, source="127.0.0.8")) == {200: 0, 429: 0, 503: 41}
    valid = [bearer(Role.STUDENT, number) for number in range(900)]
    assert counted(await burst(alone, 900, *valid, source="127.0.0.9")) == {200: 0, 429: 0, 503: 900}
    login = "/api/auth/login"
    forwarded = [tokens | {"X-Forwarded-For": f"10.0.0.{number % 250}"} for number, tokens in enumerate(valid)]
    assert counted(await burst(alone, 900, *forwarded, path=login, source="127.0.0.9"))[429] > 300
    assert counted(await burst(alone, 41, {}, path=login, source="127.0.0.8")) == {200: 0, 429: 0, 503: 41}


def test_the_api_accepts_the_clients_address_only_from_the_gateway(upstream: str, front: httpx.Client) -> None:
    """A client that sends X-Forwarded-For stays one source, through the gateway and directly at the API."""

    def codes(url: str, source: str) -> list[int]:
        transport = httpx.HTTPTransport(local_address=source)
        with httpx.Client(base_url=url, transport=transport, timeout=30) as client:
            return [
                client.post(
                    "/api/auth/login",
                    json={"email": f"{number}@made.up", "password": "x"},
                    headers={"X-Forwarded-For": f"198.51.100.{number}"},
                ).status_code
                for number in range(5)
            ]

    for source in ("127.0.0.21", "127.0.0.22"):
        assert codes(str(front.base_url), source) == [401] * 3 + [429] * 2
    assert codes(f"http://{upstream}", "127.0.0.23") == [401] * 3 + [429] * 2


def test_bodies_are_limited_to_the_size_in_the_contract(front: httpx.Client) -> None:
    form = {"company_name": "Acme", "job_title": "SDE", "min_cgpa": "6"}
    pdf = b"%PDF-1.4\n" + b"0" * (25 * MIB - 16)
    created = front.post("/api/drives", data=form, files={"pdf": ("job.pdf", pdf, "application/pdf")}, headers=bearer())
    assert created.status_code in (200, 201, 202), created.text
    link = created.json()["pdf_path"]
    assert link is None or front.get(link).status_code == 200
    for path, size in (("/api/auth/login", 2 * MIB), ("/api/drives", 28 * MIB)):
        refused = front.post(path, content=b"0" * size, headers=bearer())
        assert (refused.status_code, refused.json()["message"]) == (413, "The request is too large.")


def test_every_path_of_the_frontend_gives_its_page_and_missing_files_give_404(alone: httpx.Client) -> None:
    for path in ("/", "/drives/7", "/student"):
        page = alone.get(path)
        assert (page.status_code, "<title>Placewire" in page.text) == (200, True)
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Cache-Control"] == "no-cache"
    assert alone.get("/main.js").status_code == 404
    away = alone.get("/api/drives.json")
    assert (away.status_code, away.headers["Content-Type"]) == (503, "application/problem+json")


def test_only_listed_origins_are_allowed(front: httpx.Client) -> None:
    preflight = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    allowed = front.options("/api/drives/1", headers={"Origin": OTHER_ORIGIN, **preflight})
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, OTHER_ORIGIN)
    assert "PATCH" in allowed.headers["Access-Control-Allow-Methods"]
    foreign = front.options("/api/drives/1", headers={"Origin": "https://evil.example", **preflight})
    assert "Access-Control-Allow-Origin" not in foreign.headers


def test_the_gateway_does_not_buffer_a_jobs_events(front: httpx.Client) -> None:
    answer = front.post("/api/exports", json={"kind": "finished_drives", "format": "csv"}, headers=bearer())
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]["id"]
    # No worker runs, so the stream does not end. The first event must still arrive at once.
    with front.stream("GET", f"/api/jobs/{job}/events", headers=bearer(), timeout=5) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines) == "event: job"
        assert job in next(lines)


@asynccontextmanager
async def breaking_replica(port: int) -> AsyncIterator[list[str]]:
    """Run a server that reads each request and closes the connection. Yield the methods that it has received."""
    methods: list[str] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods.append((await reader.readuntil(b"\r\n\r\n")).decode().split()[0])
        writer.close()

    server = await asyncio.start_server(hang_up, LOOPBACK, port)
    async with server:
        yield methods


async def test_a_request_that_may_have_been_executed_is_not_sent_again(upstream: str, tmp_path: Path) -> None:
    """The gateway repeats a failed GET at another replica. It does not repeat a failed POST, and returns an error."""
    broken = free_port()
    upstreams = f"{LOOPBACK}:{broken} weight=1000 max_fails=0", f"{upstream} max_fails=0"
    async with breaking_replica(broken) as methods:
        with gateway(tmp_path / "gateway", *upstreams) as url:
            async with httpx.AsyncClient(base_url=url, headers=bearer(), timeout=30) as client:
                answers = [await client.get("/api/drives") for _ in range(5)]
                posted = await client.post("/api/job-domains", json={"domain_name": "Once"})
    assert [answer.status_code for answer in answers] == [200] * 5
    assert methods.count("GET") >= 1
    assert methods.count("POST") == 1
    assert posted.status_code == 503
    assert posted.json()["message"].startswith("The service cannot be reached")


async def test_clients_do_not_notice_a_dead_replica(upstream: str, tmp_path: Path) -> None:
    """The gateway can also repeat a POST, because nothing was sent to the dead replica."""
    with gateway(tmp_path / "gateway", f"{LOOPBACK}:{free_port()}", upstream) as url:
        async with httpx.AsyncClient(base_url=url, headers=bearer(), timeout=30) as client:
            body = {"kind": "finished_drives", "format": "csv"}
            answers = [await client.post("/api/exports", json=body) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202] * 4
