"""A TCP proxy between two processes that can slow, silence and cut connections. It runs in a separate thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import Any, Self, TypeVar

from devstack.ports import LOOPBACK, free_port

CHUNK_BYTES = 65_536
CONNECT_TIMEOUT_S = 0.5
T = TypeVar("T")


class TcpProxy:
    """Listens on ``port`` and forwards each connection to the next port of ``targets`` that accepts it.

    ``heal``: bytes pass, as at the start. ``slow``: bytes are delayed in both directions. ``silence``: connections stay
    open and new ones are accepted, but no bytes pass. ``cut``: all connections are reset, also new ones. Thread-safe.
    """

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self.port = free_port()
        self._turn = count()
        self._delay_s = 0.0
        self._is_cut = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def heal(self) -> None:
        self._set(delay_s=0.0, flows=True, is_cut=False)

    def slow(self, delay_s: float) -> None:
        self._set(delay_s=delay_s, flows=True, is_cut=False)

    def silence(self) -> None:
        self._set(delay_s=0.0, flows=False, is_cut=False)

    def cut(self) -> None:
        self._set(delay_s=0.0, flows=True, is_cut=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set(self, *, delay_s: float, flows: bool, is_cut: bool) -> None:
        def change() -> None:
            self._delay_s, self._is_cut = delay_s, is_cut
            (self._flowing.set if flows else self._flowing.clear)()
            if is_cut:
                self._reset_all()

        self._call(change)

    def _call(self, work: Callable[[], None]) -> None:
        async def call() -> None:
            work()

        self._run(call())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        done: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, LOOPBACK, self.port)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reset_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            if self._is_cut or (far := await self._connected()) is None:
                return
            far_reader, far_writer = far
            self._writers.add(far_writer)
            try:
                await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            finally:
                self._writers.discard(far_writer)
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            return  # one side has closed the connection, or the proxy ends
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._turn)
        for offset in range(len(self.targets)):
            port = self.targets[(first + offset) % len(self.targets)]
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection(LOOPBACK, port)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()
