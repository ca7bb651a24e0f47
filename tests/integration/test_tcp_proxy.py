"""The proxy of the fault tests really silences, delays and cuts connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from devstack.ports import LOOPBACK
from tests.support.tcp_proxy import TcpProxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echoing() -> AsyncIterator[TcpProxy]:
    """Yield a proxy in front of a server that echoes its input."""

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


async def echoed(streams: Streams, word: bytes) -> bytes:
    reader, writer = streams
    writer.write(word)
    async with asyncio.timeout(3):
        return await reader.read(1024)


async def is_closed(streams: Streams) -> bool:
    try:
        return await echoed(streams, b"?") == b""
    except ConnectionError:
        return True


async def test_bytes_are_held_during_silence_and_delivered_afterwards() -> None:
    async with echoing() as proxy:
        streams = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await echoed(streams, b"one") == b"one"
        proxy.silence()
        pending = asyncio.create_task(echoed(streams, b"two"))
        late = await asyncio.open_connection(LOOPBACK, proxy.port)
        await asyncio.sleep(0.3)
        assert not pending.done()
        proxy.heal()
        assert await pending == b"two"
        assert await echoed(late, b"three") == b"three"
        for _, writer in (streams, late):
            writer.close()


async def test_a_delay_applies_to_both_directions() -> None:
    async with echoing() as proxy:
        streams = await asyncio.open_connection(LOOPBACK, proxy.port)
        proxy.slow(0.2)
        started_s = monotonic()
        assert await echoed(streams, b"one") == b"one"
        assert monotonic() - started_s >= 0.4
        streams[1].close()


async def test_a_cut_resets_open_and_new_connections() -> None:
    async with echoing() as proxy:
        streams = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await echoed(streams, b"one") == b"one"
        proxy.cut()
        assert await is_closed(streams)
        fresh = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await is_closed(fresh)
        proxy.heal()
        healed = await asyncio.open_connection(LOOPBACK, proxy.port)
        assert await echoed(healed, b"four") == b"four"
        for _, writer in (streams, fresh, healed):
            writer.close()
