"""Connections that are lost during a statement are reported as lost and replaced."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import pytest
import uvloop

from chassis.errors import Unavailable
from chassis.postgres.database import Database, connect_alone
from chassis.postgres.watched_connection import SILENT_S
from devstack.ports import LOOPBACK

# The ErrorResponse (PostgreSQL protocol 3.0, "Message Formats") that a server sends before it shuts down.
FIELDS = b"SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SHUTTING_DOWN = b"E" + struct.pack("!i", 4 + len(FIELDS)) + FIELDS


class DyingServer:
    """A proxy in front of a real server. It can announce a shutdown to its clients without closing the connections.

    A real server closes the connection microseconds after the announcement, which is too fast for these tests.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.clients: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._port)
        self.clients.append(writer)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        writer.close()

    def announce_shutdown(self) -> None:
        for client in self.clients:
            client.write(SHUTTING_DOWN)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
    writer.close()


@asynccontextmanager
async def database_behind_proxy(database_url: str) -> AsyncIterator[tuple[Database, DyingServer]]:
    parts = urlsplit(database_url)
    assert parts.port is not None
    proxy = DyingServer(parts.port)
    server = await asyncio.start_server(proxy.accept, LOOPBACK)
    port = server.sockets[0].getsockname()[1]
    database = Database(
        urlunsplit(parts._replace(netloc=f"{parts.username}@{LOOPBACK}:{port}")), pool_size=1, application_name="test"
    )
    try:
        yield database, proxy
    finally:
        await database.close()
        server.close()


async def test_a_commit_after_an_announced_shutdown_is_reported_as_unavailable(database_url: str) -> None:
    async with database_behind_proxy(database_url) as (database, proxy):

        async def commit_after_announcement() -> None:
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")
                proxy.announce_shutdown()
                await asyncio.sleep(0.2)

        with pytest.raises(Unavailable):
            await commit_after_announcement()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("later_s", [0, 0.2], ids=["before it was heard", "after that"])
async def test_a_cancellation_during_a_shutdown_of_the_server_is_kept(database_url: str, later_s: float) -> None:
    async with database_behind_proxy(database_url) as (database, proxy):

        async def cancelled() -> None:
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")
                proxy.announce_shutdown()
                if later_s:
                    await asyncio.sleep(later_s)
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await cancelled()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_connections_to_a_vanished_server_time_out(
    database_url: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A test cannot make a host vanish. So the test checks the socket options that end such a connection."""
    port = urlsplit(database_url).port

    def limited_sockets() -> int:
        return [_options(connection) for connection in _sockets_to(port)].count((1, 4, 2, 3, SILENT_S * 1000))

    async def connected() -> None:
        before = limited_sockets()  # sessions that the database clones keep for their verification
        database = Database(database_url, pool_size=1, application_name="test")
        alone = await connect_alone(database_url, application_name="test")
        try:
            async with database.connection():
                assert limited_sockets() == before + 2
        finally:
            await alone.close()
            await database.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(connected())


def _sockets_to(port: int | None) -> Iterator[socket.socket]:
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as connection:
            if connection.family == socket.AF_INET and connection.getpeername()[1] == port:
                yield connection


def _options(connection: socket.socket) -> tuple[int, ...]:
    tcp = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    return (
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        *(connection.getsockopt(socket.IPPROTO_TCP, option) for option in tcp),
    )
