"""Waking a worker by HTTP: answers of a service, and how long the API waits for a service that hangs.

These tests use test servers on real sockets, because our services cannot hang on demand.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.tokens import issue_service_token
from contracts.jobs import Service
from devstack.ports import LOOPBACK
from services.api.workers import ANSWER_TIMEOUT_S, FAILURES_TO_SKIP, NotAwake, Workers
from services.eligibility import main
from tests.support.service_settings import eligibility_settings
from tests.support.system import SECRET

Answer = Callable[[str], int | None]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Workers]:
    """Yield workers whose services answer with the status that ``answer`` returns for the request line.

    A service does not answer if ``answer`` returns ``None``.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if (status := answer(head.decode().partition("\r\n")[0])) is None:
                await reader.read()  # until the caller closes the connection
                return
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()

    async def serve_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve_until_closed, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    workers = Workers(dict.fromkeys(Service, f"http://{LOOPBACK}:{port}"), SECRET)
    try:
        yield workers
    finally:
        await workers.close()
        server.close()


async def test_the_wake_up_request_has_the_id_of_the_job() -> None:
    lines: list[str] = []

    def answer(line: str) -> int:
        lines.append(line)
        return 202

    job_id = uuid4()
    async with answering(answer) as workers:
        await workers.wake(Service.EXPORTER, job_id)
    assert lines == [f"POST /internal/jobs/{job_id}/run HTTP/1.1"]


@pytest.mark.parametrize("status", [200, 404, 422, 429, 500, 503])
async def test_another_answer_means_that_the_worker_is_not_awake(status: int) -> None:
    async with answering(lambda _: status) as workers:
        with pytest.raises(NotAwake):
            await workers.wake(Service.ELIGIBILITY, uuid4())


async def test_a_service_that_hangs_is_not_called_again_for_a_while() -> None:
    requests: list[str] = []

    def hang(line: str) -> None:
        requests.append(line)

    async with answering(hang) as workers:
        started_s = monotonic()
        for _ in range(FAILURES_TO_SKIP + 3):
            with pytest.raises(NotAwake):
                await workers.wake(Service.ELIGIBILITY, uuid4())
        assert len(requests) == FAILURES_TO_SKIP
        assert monotonic() - started_s >= FAILURES_TO_SKIP * ANSWER_TIMEOUT_S


@asynccontextmanager
async def internal(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the eligibility service in this process without Kafka. Yield a client for it."""
    settings = eligibility_settings(database_url)
    app = main.create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client,
    ):
        yield client


@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic eDp4"])
async def test_the_endpoint_needs_the_token_of_a_service(database_url: str, authorization: str) -> None:
    async with internal(database_url) as client:
        answer = await client.post(f"/internal/jobs/{uuid4()}/run", headers={"Authorization": authorization})
        assert answer.status_code == 401


async def test_a_wake_up_for_an_unknown_job_is_accepted_and_changes_nothing(database_url: str) -> None:
    headers = {"Authorization": f"Bearer {issue_service_token('api', Service.ELIGIBILITY, SECRET)}"}
    async with internal(database_url) as client:
        assert (await client.post(f"/internal/jobs/{UUID(int=1)}/run", headers=headers)).status_code == 202
        assert (await client.post("/internal/jobs/nonsense/run", headers=headers)).status_code == 422
