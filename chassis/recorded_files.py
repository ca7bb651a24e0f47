"""Check that the storage holds the files recorded in the database. If STORAGE_URL is wrong, it holds none of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from chassis.errors import StorageFailed, Unavailable
from chassis.postgres.database import Connection, Database
from chassis.storage import Storage, StorageUnusable
from contracts.files import SERVED_BELOW

# How many of the newest files of each kind are checked. A wrong storage lacks all of them; a damaged one lacks a few.
CHECKED_FILES = 10

# Only unexpired exports: the files of expired ones may already have been deleted.
NEWEST_EXPORTS = """
SELECT path FROM exports
 WHERE state = 'completed' AND expires_at > now() ORDER BY expires_at DESC, export_id DESC LIMIT $1
"""
NEWEST_PDFS = """
SELECT pdf_path FROM drives WHERE starts_with(pdf_path, $2) ORDER BY drive_id DESC LIMIT $1
"""
MAY_SEE_DRIVES = "SELECT has_table_privilege('drives', 'SELECT')"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RecordedFiles:
    """The newest files that the database names, and which of them the storage lacks."""

    named: Sequence[str]
    missing: Sequence[str]

    @property
    def is_another_storage(self) -> bool:
        """Return whether there are files and the storage has none of them."""
        return bool(self.named) and len(self.missing) == len(self.named)

    def __str__(self) -> str:
        return f"it lacks {len(self.missing)} of the {len(self.named)} newest files that the database names" + (
            f", such as {self.missing[0]}" if self.missing else ""
        )


async def look(connection: Connection, storage: Storage) -> RecordedFiles:
    """Compare ``storage`` with the database. If the database role may not read drives, compare exports only."""
    named = [row["path"] for row in await connection.fetch(NEWEST_EXPORTS, CHECKED_FILES)]
    if await connection.fetchval(MAY_SEE_DRIVES):
        pdfs = await connection.fetch(NEWEST_PDFS, CHECKED_FILES, SERVED_BELOW)
        named += [row["pdf_path"].removeprefix(SERVED_BELOW) for row in pdfs]
    return RecordedFiles(named, [path for path in named if not await storage.exists(path)])


async def check(database: Database, storage: Storage, *, ignore_missing: bool) -> None:
    """Raise ``StorageUnusable`` when ``storage`` cannot be written, or has none of the recorded files.

    If the database is unavailable or has no tables yet, log a warning and skip the comparison.
    """
    await storage.check()
    if ignore_missing:
        return
    try:
        async with database.connection() as connection:
            files = await look(connection, storage)
    except (Unavailable, asyncpg.UndefinedTableError) as error:
        log.warning("storage.not_compared", reason=str(error))
        return
    except StorageFailed as error:
        raise StorageUnusable(f"STORAGE_URL cannot be read: {error}") from error
    if files.is_another_storage:
        raise StorageUnusable(
            f"STORAGE_URL is not where the files are: {files}. Set it back, or copy the files there first"
            " (STORAGE_IGNORE_MISSING_FILES=true starts without them)"
        )
