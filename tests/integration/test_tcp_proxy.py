"""The proxy of the fault tests does what it says: a fault test that breaks nothing proves nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from devstack.ports import LOOPBACK
from tests.support.tcp_proxy import TcpProxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echoing() -> AsyncIterator[TcpProxy]:
    """A proxy before a server that sends back what it gets."""

    talks: list[asyncio.Task[None] | None] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        with suppress(ConnectionError):
            while piece := await reader.read(1024):
                writer.write(piece)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    proxy = TcpProxy(server.sockets[0].getsockname()[1])
    try:
        with proxy:
            yield proxy
    finally:
        server.close()
        await asyncio.gather(*(talk for talk in talks if talk))


async def said(streams: Streams, word: bytes) -> bytes:
    reader, writer = streams
    writer.write(word)
    async with asyncio.timeout(3):
        return await reader.read(1024)


async def is_dead(streams: Streams) -> bool:
    try:
        return await said(streams, b"?") == b""
    except ConnectionError:
        return True


async def test_silence_is_held_and_then_goes_on() -> None:
    async with echoing() as proxy:
        streams = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await said(streams, b"one") == b"one"
        proxy.silence()
        asked = asyncio.create_task(said(streams, b"two"))
        late = await asyncio.open_connection(LOOPBACK, proxy.port)
        await asyncio.sleep(0.3)
        assert not asked.done()
        proxy.heal()
        assert await asked == b"two"
        assert await said(late, b"three") == b"three"
        for _, writer in (streams, late):
            writer.close()


async def test_delay_is_on_both_ways() -> None:
    async with echoing() as proxy:
        streams = await asyncio.open_connection(LOOPBACK, proxy.port)
        proxy.slow(0.2)
        began = monotonic()
        assert await said(streams, b"one") == b"one"
        assert monotonic() - began >= 0.4
        streams[1].close()


async def test_a_cut_resets_open_and_new_connections() -> None:
    async with echoing() as proxy:
        streams = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await said(streams, b"one") == b"one"
        proxy.cut()
        assert await is_dead(streams)
        fresh = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await is_dead(fresh)
        proxy.heal()
        healed = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await said(healed, b"four") == b"four"
        for _, writer in (streams, fresh, healed):
            writer.close()
