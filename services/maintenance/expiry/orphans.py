"""Delete orphans: files that nothing refers to, and read marks of deleted notifications."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from chassis.errors import StorageFailed
from chassis.observability import metrics
from chassis.postgres.database import Connection, Database
from chassis.storage import Storage
from contracts.files import EXPORTS, JOB_DESCRIPTIONS, export_of
from services.maintenance.expiry import sql
from services.maintenance.expiry.due import BATCH, PAUSE_S

Unneeded = Callable[[Connection, list[str]], Awaitable[list[str]]]

log = structlog.get_logger()


async def delete_pdfs(database: Database, storage: Storage, before: datetime) -> int:
    """Delete PDFs from before ``before`` that no drive refers to. Return how many.

    Such a PDF is left when the API could not delete it, after its drive was deleted or was never committed.
    """
    return await _delete_files(database, storage, JOB_DESCRIPTIONS, "pdfs", sql.orphaned_pdfs, before)


async def delete_export_files(database: Database, storage: Storage, before: datetime) -> int:
    """Delete files from before ``before`` that no export refers to and no worker writes. Return how many.

    Killed workers leave such files. Files whose names are not those of exports are kept.
    """

    async def unneeded(connection: Connection, paths: list[str]) -> list[str]:
        known = [(path, id_) for path in paths if (id_ := export_of(path)) is not None]
        return await sql.orphaned_exports(connection, known)

    return await _delete_files(database, storage, EXPORTS, "export_files", unneeded, before)


async def _delete_files(
    database: Database, storage: Storage, folder: str, what: str, unneeded: Unneeded, before: datetime
) -> int:
    total = 0
    async for page in storage.pages(folder, limit=BATCH):
        # The files were listed before this read. A transaction that refers to a file as old as this has committed.
        if old := [file.path for file in page if file.modified_at < before]:
            async with database.connection() as connection:
                orphaned = await unneeded(connection, old)
            total += sum([await _deleted(storage, what, path) for path in orphaned])
            await asyncio.sleep(PAUSE_S)
    return total


async def _deleted(storage: Storage, what: str, path: str) -> bool:
    try:
        await storage.delete(path)
    except StorageFailed as error:
        metrics.EXPIRY_FAILURES.labels(what).inc()
        log.warning("expiry.file_left", path=path, reason=str(error))
        return False
    metrics.EXPIRED.labels(what).inc()
    log.info("expiry.file_deleted", path=path)
    return True


async def delete_read_marks(database: Database) -> int:
    """Delete the read marks of notifications about deleted drives. Return how many. Reads all marks, page by page."""
    total = 0
    last = (-1, -1)
    while True:
        async with database.transaction(durable=False) as connection:
            page = await sql.delete_read_marks(connection, last, BATCH)
        if page is None:
            return total
        metrics.EXPIRED.labels("read_marks").inc(page.deleted)
        total += page.deleted
        last = page.last
        await asyncio.sleep(PAUSE_S)
