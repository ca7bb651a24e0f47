"""Connections that end in the middle of something: told as what they are, and replaced."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from chassis.database import Database
from chassis.errors import Unavailable
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
