"""Buffer between a fast producer and a slow reader: in memory first, then in a temporary file."""

import asyncio
import os
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import BinaryIO

IN_MEMORY_BYTES = 1024 * 1024
BLOCK_BYTES = 256 * 1024


class Spool:
    """One producer and one reader in the same event loop. The producer never waits for the reader.

    The file has no name, so nothing remains of it when the process dies. Call ``close`` when done.
    """

    def __init__(self) -> None:
        # The reader takes these blocks before the file. So a block is added here only if no byte of the file is unread.
        self._blocks: deque[bytes] = deque()
        self._in_memory = 0
        self._file: BinaryIO | None = None
        self._written = self._read = 0  # offsets in the file
        self._ended = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        # A thread may still use the file after its task was cancelled. The lock delays closing the file until then.
        self._lock = threading.Lock()

    async def write(self, block: bytes | bytearray) -> None:
        """Append a copy of ``block``. Raises ``OSError`` when the disk is full."""
        block = bytes(block)  # asyncpg passes bytearrays
        if self._read == self._written and self._in_memory + len(block) <= IN_MEMORY_BYTES:
            self._blocks.append(block)
            self._in_memory += len(block)
        else:
            if self._file is None:
                self._file = await asyncio.to_thread(_unbuffered_file)
            file: BinaryIO = self._file
            if self._read == self._written:
                self._read = self._written = 0  # reuse the space
            await asyncio.to_thread(self._write_file, file, block, self._written)
            self._written += len(block)
        self._changed.set()

    def end(self, error: BaseException | None = None) -> None:
        """End the input. The reader gets ``error`` after everything that was written."""
        self._ended, self._error = True, error
        self._changed.set()

    async def started(self) -> None:
        """Wait for the first byte, or for the end of empty input. Raises the error given to ``end``."""
        while not (self._blocks or self._written or self._ended):
            await self._change()
        if self._error is not None and not (self._blocks or self._written):
            raise self._error

    async def read(self) -> AsyncIterator[bytes]:
        """Yield everything in order. Raises the error given to ``end``."""
        while True:
            if self._blocks:
                block = self._blocks.popleft()
                self._in_memory -= len(block)
                yield block
            elif self._read < self._written:
                assert self._file is not None
                size = min(BLOCK_BYTES, self._written - self._read)
                block = await asyncio.to_thread(self._read_file, self._file, size, self._read)
                self._read += len(block)
                yield block
            elif self._error is not None:
                raise self._error
            elif self._ended:
                return
            else:
                await self._change()

    def close(self) -> None:
        """Free the memory and the disk space. May be called at any time, also while a write or read is running."""
        self._blocks.clear()
        if self._file is not None:
            asyncio.get_running_loop().run_in_executor(None, self._close_file, self._file)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _write_file(self, file: BinaryIO, block: bytes, offset: int) -> None:
        with self._lock:
            rest = memoryview(block)
            while rest and not file.closed:
                written = os.pwrite(file.fileno(), rest, offset)
                rest, offset = rest[written:], offset + written

    def _read_file(self, file: BinaryIO, size: int, offset: int) -> bytes:
        with self._lock:
            return b"" if file.closed else os.pread(file.fileno(), size, offset)

    def _close_file(self, file: BinaryIO) -> None:
        with self._lock:
            file.close()


def _unbuffered_file() -> BinaryIO:
    return tempfile.TemporaryFile(buffering=0)
