"""Send lists of any length as JSON written by Postgres. No row becomes a Python object.

Rows go from COPY through a spool to the client. The spool accepts them as fast as Postgres writes, so a slow client
never holds a connection of the pool, and the whole list comes from one snapshot.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from chassis.errors import Overloaded
from chassis.observability.error_text import described
from chassis.postgres.database import CHECKOUT_TIMEOUT_S, Connection, Database
from chassis.spool import Spool
from services.api.http.request_scope import HeadAnswered, ResponseAborted

# The number of lists that one process sends at the same time. A list may use disk space until its client has read it.
MAX_OPEN = 32
# A client that accepts no block for this long is disconnected.
STALLED_S = 60.0

# JSON escapes control characters, so COPY quotes nothing and writes the rows unchanged.
COPY_OPTIONS: dict[str, Any] = {"format": "csv", "delimiter": "\x02", "quote": "\x01", "encoding": "utf-8"}
# JIT compilation takes longer than most lists.
NO_JIT = "SET LOCAL jit = off"

Write = Callable[[bytes], Awaitable[None]]
Produce = Callable[[Connection, Write], Awaitable[None]]


def rows_as_json(query: str) -> str:
    """Return a query for ``copy_array``: each row of ``query`` as one JSON object, in the same order."""
    return f"SELECT ',' || row_to_json(listed)::text FROM ({query}) listed"  # noqa: S608


def instant(column: str) -> str:
    """Return SQL that formats a time like ``presentation.instant_text``."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


async def copy_array(connection: Connection, write: Write, query: str, *args: Any, head: bytes = b"") -> int:
    """Write ``head`` and the rows of ``query`` as a JSON array. Returns the number of rows.

    ``query`` has one text column: a comma, then a JSON value. Nothing is written before the first row arrives.
    """
    begun = False

    async def add(block: bytes) -> None:
        nonlocal begun
        await write(block if begun else b"".join((head, b"[", block[1:])))
        begun = True

    status = await connection.copy_from_query(query, *args, output=add, **COPY_OPTIONS)
    await write(b"]" if begun else head + b"[]")
    return int(status.split()[-1])


class LongLists:
    """Responds to requests for long lists, a few at a time."""

    def __init__(self, database: Database, *, at_once: int) -> None:
        """``at_once``: how many connections of the pool lists may use at the same time."""
        self._database = database
        self.at_once = at_once
        self.open = 0  # lists being sent
        self._turns = asyncio.Semaphore(at_once)
        self._producing: set[asyncio.Task[None]] = set()  # the event loop keeps only weak references to tasks

    async def answer(self, produce: Produce, *, media_type: str = "application/json") -> StreamingResponse:
        """Return a response whose body ``produce`` writes, on a connection in a read-only snapshot.

        Raises ``Overloaded`` when too many lists are being sent, and what ``produce`` raises before its first byte.
        A later error aborts the connection to the client.
        """
        if self.open >= MAX_OPEN:
            raise Overloaded("Too many long lists are being read right now. Please try again.")
        self.open += 1
        spool = Spool()
        producing = asyncio.create_task(self._fill(spool, produce))
        self._producing.add(producing)
        producing.add_done_callback(self._producing.discard)
        try:
            await spool.started()
        except BaseException:
            self._close(spool, producing)
            raise
        return _SpooledResponse(spool, partial(self._close, spool, producing), media_type)

    async def array(self, query: str, *args: Any) -> StreamingResponse:
        """Return a response with the rows of ``query`` (see ``copy_array``) as a JSON array."""

        async def produce(connection: Connection, write: Write) -> None:
            await copy_array(connection, write, query, *args)

        return await self.answer(produce)

    async def _fill(self, spool: Spool, produce: Produce) -> None:
        try:
            try:
                async with asyncio.timeout(CHECKOUT_TIMEOUT_S):
                    await self._turns.acquire()
            except TimeoutError as error:
                raise Overloaded("Too many long lists are being read right now. Please try again.") from error
            try:
                async with self._database.transaction(isolation="repeatable_read", readonly=True) as connection:
                    await connection.execute(NO_JIT)
                    await produce(connection, spool.write)
            finally:
                self._turns.release()
        except BaseException as error:
            spool.end(error)
            if not isinstance(error, Exception):
                raise
        else:
            spool.end()

    def _close(self, spool: Spool, producing: "asyncio.Task[None]") -> None:
        producing.cancel()
        spool.close()
        self.open -= 1


class _SpooledResponse(StreamingResponse):
    def __init__(self, spool: Spool, close: Callable[[], None], media_type: str) -> None:
        super().__init__(spool.read(), media_type=media_type)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_S):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except (ClientDisconnect, HeadAnswered):
            raise
        except Exception as error:
            raise ResponseAborted(described(error)) from error
        finally:
            self._close()
