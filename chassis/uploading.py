"""The upload of one file. The writer pushes parts; the store pulls them."""

import asyncio
from collections.abc import AsyncIterator

import obstore
from obstore.store import ObjectStore

# The size of a part of a multipart upload. S3 allows 10,000 parts, so a file may have 80 GB.
PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
# The writer passes this many bytes to the store at a time. With less, tasks would switch after every row or two.
BLOCK_BYTES = 1024 * 1024


class Abandoned(Exception):
    """The writer stopped. The store must discard the upload."""


class Upload:
    """An upload. ``finish`` makes the file visible; ``abandon`` discards it, unless the store is completing it already.

    The store pulls the content, because obstore can then abort a failed upload. A writer of ``open_writer_async`` can
    only be closed, which makes the file visible (obstore 0.12.1, tried with a bucket).
    """

    def __init__(self, store: ObjectStore, path: str, attributes: dict[str, str]) -> None:
        self._blocks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(maxsize=2)
        self._block = bytearray()
        self._storing = asyncio.ensure_future(
            obstore.put_async(
                store, path, self._content(), attributes=attributes or None, use_multipart=True, chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        )  # fmt: skip

    async def put(self, content: bytes) -> None:
        """Pass ``content`` to the store. Wait while the store is slower. Raises the store's error."""
        self._block += content
        if len(self._block) >= BLOCK_BYTES:
            await self._pass_block(bytes(self._block))
            self._block.clear()

    async def finish(self) -> None:
        """Finish the upload. The file is visible when this returns."""
        if self._block:
            await self._pass_block(bytes(self._block))
        await self._pass_block(None)
        await asyncio.shield(self._storing)

    async def abandon(self) -> None:
        """Discard the upload. Does nothing after ``finish``."""
        if not self._storing.done():
            while not self._blocks.empty():
                self._blocks.get_nowait()
            self._blocks.put_nowait(Abandoned())
            await asyncio.wait([self._storing])
        self._storing.cancelled() or self._storing.exception()

    async def _pass_block(self, block: bytes | None) -> None:
        passing = asyncio.ensure_future(self._blocks.put(block))
        try:
            await asyncio.wait([passing, self._storing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not passing.done():
                passing.cancel()
        if self._storing.done():
            self._storing.result()

    async def _content(self) -> AsyncIterator[bytes]:
        while (block := await self._blocks.get()) is not None:
            if isinstance(block, Exception):
                raise block
            yield block
