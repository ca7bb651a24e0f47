"""The road beside the bus: what a service may answer, and what the sweep makes of it.

The services here are stand-ins on a real socket: ours do not answer nonsense, and cannot be made to hang on demand.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import asyncpg
import pytest
from services.api.hand_over import ANSWER_TIMEOUT_S, HandOverRefused, NotHandedOver, Services, read_envelope
from services.api.sweep import Sweep

from chassis.database import connect_alone
from contracts.jobs import Channel, Service
from devstack.ports import LOOPBACK
from tests.conftest import Api
from tests.enrolment import DRIVE
from tests.system import SECRET, as_role

Owner = asyncpg.Connection
Answer = Callable[[str], tuple[int, str] | None]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Services]:
    """Services whose eligibility answers what ``answer`` says to an event's id; ``None``: never."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            event = json.loads(await reader.readexactly(length))
            found = answer(event["id"])
            if found is None:
                await reader.read()  # until the caller hangs up
                return
            status, body = found
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(quietly, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    services = Services(dict.fromkeys(Service, f"http://{LOOPBACK}:{port}"), SECRET)
    try:
        yield services
    finally:
        await services.close()
        server.close()


async def queued(api: Api, owner: "Owner[asyncpg.Record]", count: int) -> list[str]:
    """Jobs that have waited long enough for the sweep."""
    for _ in range(count):
        await api.post("/api/drives", json={**DRIVE, "auto_calc": True})
    await owner.execute("UPDATE es.job SET queued_at = queued_at - interval '1 minute'")
    return [str(row["id"]) for row in await owner.fetch("SELECT id FROM es.job ORDER BY seq")]


TAKEN = 200, '{"job": null}'


@pytest.mark.parametrize("refusal", [(500, "oops"), (422, "{}"), (200, "{}"), (200, "not json")])
async def test_the_sweep_passes_over_what_a_service_refuses(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, refusal: tuple[int, str]
) -> None:
    jobs = await queued(api, owner, 4)
    seen: list[str] = []

    def answer(event_id: str) -> tuple[int, str]:
        seen.append(event_id)
        return refusal if event_id == jobs[0] else TAKEN

    async with answering(answer) as services:
        url = as_role(database_url, "placewire_api")
        session = await connect_alone(url, application_name="test-sweep")
        assert await Sweep(url, services).once(session) == 3
        await session.close()
    assert seen == jobs


async def test_the_sweep_stops_at_a_service_that_is_busy(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str
) -> None:
    jobs = await queued(api, owner, 3)
    seen: list[str] = []

    def answer(event_id: str) -> tuple[int, str]:
        seen.append(event_id)
        return 503, ""

    async with answering(answer) as services:
        url = as_role(database_url, "placewire_api")
        session = await connect_alone(url, application_name="test-sweep")
        assert await Sweep(url, services).once(session) == 0
        await session.close()
    assert seen == jobs[:1]


async def test_a_hung_service_costs_little_and_is_then_left_alone(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [job] = await queued(api, owner, 1)
    async with answering(lambda _: None) as services:
        async with api.database.connection() as connection:
            event = await read_envelope(connection, job)
        took = []
        for _ in range(3):
            began = monotonic()
            with pytest.raises(NotHandedOver):
                await services.hand_over(Service.ELIGIBILITY, event, Channel.HTTP)
            took.append(monotonic() - began)
    assert max(took[:2]) < ANSWER_TIMEOUT_S + 1
    assert took[2] < 0.5


async def test_an_answer_that_is_not_ours_is_a_refusal(api: Api, owner: "Owner[asyncpg.Record]") -> None:
    [job] = await queued(api, owner, 1)
    async with answering(lambda _: (200, "{}")) as services, api.database.connection() as connection:
        event = await read_envelope(connection, job)
        with pytest.raises(HandOverRefused):
            await services.hand_over(Service.ELIGIBILITY, event, Channel.HTTP)
