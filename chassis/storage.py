"""Files in object storage, or below a folder: whatever ``STORAGE_URL`` names."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore, from_url

from chassis.errors import NotFound


class StorageUnusable(SystemExit):
    """``STORAGE_URL`` does not lead to a place this process can write to. Ends the process with one line."""


class Storage:
    """Small files, whole. Paths are relative and use ``/``."""

    def __init__(self, url: str) -> None:
        """Raises ``StorageUnusable`` when ``url`` cannot be understood, or its folder cannot be made."""
        try:
            parts = urlsplit(url)
            if parts.scheme == "file":
                Path(unquote(parts.path)).mkdir(parents=True, exist_ok=True)
            self._store: ObjectStore = from_url(url)
        except (BaseError, OSError, ValueError) as error:
            raise StorageUnusable(f"STORAGE_URL is wrong: {error}") from error

    async def check(self) -> None:
        """Write, and delete, an empty file. Raises ``StorageUnusable``."""
        try:
            await obstore.put_async(self._store, ".writable", b"")
            await obstore.delete_async(self._store, ".writable")
        except (BaseError, OSError) as error:
            raise StorageUnusable(f"STORAGE_URL cannot be written: {error}") from error

    async def write(self, path: str, content: bytes) -> None:
        """Visible whole or not at all."""
        await obstore.put_async(self._store, path, content)

    async def read(self, path: str) -> bytes:
        """Raises ``NotFound`` when there is no such file."""
        try:
            found = await obstore.get_async(self._store, path)
        except (NotFoundError, FileNotFoundError) as error:
            raise NotFound("There is no such file.") from error
        return bytes(await found.bytes_async())

    async def delete(self, path: str) -> None:
        """Idempotent."""
        try:
            await obstore.delete_async(self._store, path)
        except (NotFoundError, FileNotFoundError):
            return
