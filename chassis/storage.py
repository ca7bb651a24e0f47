"""Files in the object storage or the local folder that ``STORAGE_URL`` names."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store, from_url

from chassis.errors import NotFound, StorageFailed, StorageFull
from chassis.http.responses import content_disposition
from chassis.uploading import Upload

# These retries only cover lost packets. Callers retry longer failures of a bucket.
RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
STREAM_BYTES = 256 * 1024
# Parts of error texts: of the operating system (ENOSPC, EFBIG, EDQUOT), and HTTP 507 of S3-compatible servers.
FULL = ("os error 28", "os error 27", "os error 122", "507 ", "InsufficientStorage", "StorageFull")


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file. ``modified_at`` comes from the storage's clock."""

    path: str
    modified_at: datetime


class StorageUnusable(SystemExit):
    """This process cannot write to ``STORAGE_URL``. Ends the process with one line."""


class Storage:
    """Stores files. Paths are relative and use ``/``. A file becomes visible when it is complete, or not at all."""

    def __init__(self, url: str) -> None:
        """Raise ``StorageUnusable`` when ``url`` is not valid or its folder cannot be created."""
        try:
            parts = urlsplit(url)
            self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._store: ObjectStore = from_url(url)
            else:
                self._store = from_url(url, retry_config=RETRIES)  # type: ignore[call-overload]
        except (BaseError, OSError, ValueError) as error:
            raise StorageUnusable(f"STORAGE_URL is wrong: {_first_line(error)}") from error

    async def check(self) -> None:
        """Write and delete an empty file. Raises ``StorageUnusable`` if that fails."""
        try:
            # No async calls of obstore: a process that exits right after such a call sometimes aborts (observed).
            await asyncio.to_thread(obstore.put, self._store, ".writable", b"")
            with suppress(NotFoundError, FileNotFoundError):  # another process that starts now may have deleted it
                await asyncio.to_thread(obstore.delete, self._store, ".writable")
        except (BaseError, OSError) as error:
            raise StorageUnusable(f"STORAGE_URL cannot be written: {_first_line(error)}") from error

    async def exists(self, path: str) -> bool:
        """Return whether the file exists. Raises ``StorageFailed``."""
        try:
            with _translated():
                await asyncio.to_thread(obstore.head, self._store, path)
        except NotFound:
            return False
        return True

    async def write(self, path: str, content: bytes) -> None:
        """Write a small file. Raises ``StorageFailed``, also if ``path`` already exists.

        An existing file stays, because another writer may own it. If the storage refuses the file, nothing of it is
        left. If the storage's answer is lost, or the write is cancelled, the file may exist.
        """
        try:
            with _refusals():
                await obstore.put_async(self._store, path, content, mode="create", use_multipart=False)
        except StorageFailed:
            if self._folder is not None:
                await asyncio.to_thread(_delete_parts, self._folder / path)
            raise

    @asynccontextmanager
    async def writing(self, path: str, media_type: str, save_as: str) -> AsyncIterator["Written"]:
        """Write a file of any size in constant memory. It exists after the block, unless the block raises.

        A bucket keeps ``media_type`` and ``save_as``, and sends them with downloads through a signed link.
        Raises ``StorageFailed`` from a write, or when the block ends.
        """
        headers = {"Content-Type": media_type, "Content-Disposition": content_disposition(save_as)}
        upload = Upload(self._store, path, {} if self._folder else headers)
        try:
            yield Written(upload)
            with _refusals():
                await upload.finish()
        except BaseException:
            await upload.abandon()
            with suppress(StorageFailed):
                await self.delete(path)  # the file may have become visible despite the error
            raise

    async def read(self, path: str) -> bytes:
        """Return the content. Raises ``NotFound`` when there is no such file."""
        with _translated():
            return bytes(await (await obstore.get_async(self._store, path)).bytes_async())

    async def stream(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Return bytes ``start`` to ``end`` (exclusive). Raises ``NotFound``; reading may raise ``StorageFailed``."""
        with _translated():
            response = await obstore.get_async(self._store, path, options={"range": (start, end)})

        async def chunks() -> AsyncIterator[bytes]:
            with _translated():
                async for chunk in response.stream(min_chunk_size=STREAM_BYTES):
                    yield bytes(chunk)

        return chunks()

    async def signed_link(self, path: str, life: timedelta) -> str | None:
        """Return a link to the bucket, valid for ``life``; ``None`` when this storage has no signed links."""
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        with _translated():
            return await obstore.sign_async(self._store, "GET", path, life)

    async def pages(self, folder: str, *, limit: int) -> AsyncIterator[list[Stored]]:
        """Yield every file below ``folder``, up to ``limit`` at a time. Yield none when there is no such folder.

        A partial file of a killed writer is listed under its final path. Unfinished uploads to a bucket are not listed:
        give the bucket a lifecycle rule that aborts uploads older than a day.
        """
        with _refusals():
            async for page in obstore.list(self._store, folder, chunk_size=limit):
                yield [Stored(file["path"], file["last_modified"]) for file in page]
            partial = await asyncio.to_thread(self._partial_files, folder)
        for first in range(0, len(partial), limit):
            yield partial[first : first + limit]

    def _partial_files(self, folder: str) -> list[Stored]:
        if self._folder is None:
            return []
        partial = []
        for part in (self._folder / folder).rglob("*#*"):
            final = part.with_name(part.name.partition("#")[0])
            with suppress(FileNotFoundError):  # its writer may have finished
                modified_at = datetime.fromtimestamp(part.stat().st_mtime, UTC)
                if not final.exists():
                    partial.append(Stored(final.relative_to(self._folder).as_posix(), modified_at))
        return partial

    async def delete(self, path: str) -> None:
        """Delete a file, partial files that a killed writer of ``path`` left, and empty folders. Idempotent.

        Raises ``StorageFailed``.
        """
        try:
            with _translated():
                if self._folder is not None:
                    await asyncio.to_thread(_delete_parts, self._folder / path)
                await obstore.delete_async(self._store, path)
        except NotFound:
            pass
        if self._folder is not None:
            await asyncio.to_thread(_delete_empty_folders, self._folder, path)


def _delete_parts(path: Path) -> None:
    """Delete the partial files of ``path``. Reads the folder, so it must not run on the event loop."""
    for part in path.parent.glob(f"{escape(path.name)}#*"):
        part.unlink(missing_ok=True)


def _delete_empty_folders(root: Path, path: str) -> None:
    """Delete empty folders above ``path``, except the topmost. A concurrent writer creates its folder again."""
    for folder in list(Path(path).parents)[:-2]:
        with suppress(OSError):  # not empty, or already deleted
            (root / folder).rmdir()


class Written:
    """A file that is being written, with ``size_bytes`` and ``sha256`` of the content so far."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    async def write(self, content: bytes) -> None:
        """Write ``content``. Waits while the storage is slower than the writer."""
        self._digest.update(content)
        self.size_bytes += len(content)
        with _refusals():
            await self._upload.put(content)

    @property
    def sha256(self) -> str:
        """Return the digest of the content so far, in hexadecimal."""
        return self._digest.hexdigest()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        with _refusals():
            yield
    except StorageFailed as failure:
        if isinstance(failure.__cause__, NotFoundError | FileNotFoundError):
            raise NotFound("There is no such file.") from failure
        raise


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        if any(sign in str(error) for sign in FULL):
            raise StorageFull("The storage has no space left for this file.") from error
        raise StorageFailed("The storage does not take this file.") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
