"""Connections that are lost during a statement: reported as lost, and replaced."""

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

# ErrorResponse (PostgreSQL protocol 3.0, section "Message Formats"): a server that shuts down, before it closes.
FIELDS = b"SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SHUTTING_DOWN = b"E" + struct.pack("!i", 4 + len(FIELDS)) + FIELDS


class DyingServer:
    """Stands before a real server, and can say on its behalf that it ends the connection, without ending it.

    A double: between a server's last words and its closing of the connection there are microseconds here.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.clients: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._port)
        self.clients.append(writer)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        writer.close()

    def say_last_words(self) -> None:
        for client in self.clients:
            client.write(SHUTTING_DOWN)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
    writer.close()


@asynccontextmanager
async def behind_a_dying_server(database_url: str) -> AsyncIterator[tuple[Database, DyingServer]]:
    parts = urlsplit(database_url)
    assert parts.port is not None
    dying = DyingServer(parts.port)
    server = await asyncio.start_server(dying.accept, LOOPBACK)
    port = server.sockets[0].getsockname()[1]
    database = Database(
        urlunsplit(parts._replace(netloc=f"{parts.username}@{LOOPBACK}:{port}")), pool_size=1, application_name="test"
    )
    try:
        yield database, dying
    finally:
        await database.close()
        server.close()


async def test_a_commit_after_the_servers_last_words_is_not_a_bug_of_ours(database_url: str) -> None:
    async with behind_a_dying_server(database_url) as (database, dying):

        async def outlived() -> None:
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")
                dying.say_last_words()
                await asyncio.sleep(0.2)

        with pytest.raises(Unavailable):
            await outlived()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("later_s", [0, 0.2], ids=["before it was heard", "after that"])
async def test_who_is_cancelled_while_the_server_dies_is_cancelled(database_url: str, later_s: float) -> None:
    async with behind_a_dying_server(database_url) as (database, dying):

        async def cancelled() -> None:
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")
                dying.say_last_words()
                if later_s:
                    await asyncio.sleep(later_s)
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await cancelled()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_server_that_vanished_without_a_word_is_given_up(
    database_url: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """On this machine no host can vanish: the options that end such a connection are looked at, on the sockets."""
    port = urlsplit(database_url).port

    async def connected() -> None:
        database = Database(database_url, pool_size=1, application_name="test")
        alone = await connect_alone(database_url, application_name="test")
        try:
            async with database.connection():
                found = [_options(one) for one in _sockets_to(port)]
        finally:
            await alone.close()
            await database.close()
        assert found.count((1, 4, 2, 3, SILENT_S * 1000)) == 2, found

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(connected())


def _sockets_to(port: int | None) -> Iterator[socket.socket]:
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as one:
            if one.family == socket.AF_INET and one.getpeername()[1] == port:
                yield one


def _options(one: socket.socket) -> tuple[int, ...]:
    tcp = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    return (
        one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        *(one.getsockopt(socket.IPPROTO_TCP, option) for option in tcp),
    )
