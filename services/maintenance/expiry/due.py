"""Expire or delete what is due: exports, idempotency keys, ended jobs, password links."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import structlog
from uuid_utils.compat import uuid7

from chassis.errors import Contended, StorageFailed, Unavailable
from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause
from chassis.observability import metrics
from chassis.postgres import notify
from chassis.postgres.database import Connection, Database
from chassis.postgres.notify import Notifier
from chassis.storage import Storage
from contracts.exports import ExportCompleted, ExportExpired
from contracts.jobs import Service
from services.maintenance.expiry import rules, sql

BATCH = 1_000
# Pause between two batches, so that other sessions are not slowed down.
PAUSE_S = 0.1
EXPORTS_AT_ONCE = 4
ANY_TIME = datetime.max.replace(tzinfo=UTC)
BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

Delete = Callable[[Connection, datetime, int], Awaitable[int]]

log = structlog.get_logger()


async def expire_keys(database: Database, before: datetime) -> int:
    """Expire idempotency keys created before ``before``, except keys of unfinished jobs. Return how many."""
    return await _in_batches(database, "idempotency_keys", sql.expire_keys, before)


async def delete_jobs(database: Database, before: datetime) -> int:
    """Delete jobs that ended before ``before``, except dead letters. Return how many."""
    return await _in_batches(database, "jobs", sql.delete_jobs, before)


async def delete_links(database: Database, before: datetime) -> int:
    """Delete password links that expired before ``before``. Return how many."""
    return await _in_batches(database, "password_links", sql.delete_links, before)


async def maintain_access_log(database: Database, now: datetime, kept: timedelta) -> int:
    """Prepare the access log for the next months; delete months older than ``kept``. Return the rows deleted."""
    async with database.transaction() as connection:
        deleted = await sql.maintain_access_log(connection, now, kept)
    metrics.EXPIRED.labels("access_log").inc(deleted)
    return deleted


async def _in_batches(database: Database, what: str, delete: Delete, before: datetime) -> int:
    total = 0
    while True:
        # Not durable: if a crash loses the commit, the next run repeats it.
        async with database.transaction(durable=False) as connection:
            deleted = await delete(connection, before, BATCH)
        metrics.EXPIRED.labels(what).inc(deleted)
        total += deleted
        if deleted < BATCH:
            return total
        await asyncio.sleep(PAUSE_S)


class Exports:
    """Deletes the file of each expired export, then records the expiry. After a crash in between, repeats both."""

    def __init__(self, database: Database, storage: Storage, notifier: Notifier) -> None:
        self._database = database
        self._storage = storage
        self._notifier = notifier

    async def expire(self, before: datetime) -> int:
        """Expire every export whose file could be downloaded until ``before`` at most. Return how many.

        Skips exports that cannot be expired. Raises ``Unavailable``.
        """
        total, last = 0, BEGINNING
        while True:
            async with self._database.connection() as connection:
                page = await sql.expired_exports(connection, before, last, BATCH)
            total += await self._expire_all([export_id for _, export_id in page], before)
            if len(page) < BATCH:
                return total
            last = page[-1]

    async def expire_withdrawn(self) -> int:
        """Expire every export whose file was withdrawn, without waiting for its expiry. Return how many.

        Skips exports that cannot be expired. Raises ``Unavailable``.
        """
        total, last = 0, BEGINNING[1]
        while True:
            async with self._database.connection() as connection:
                page = await sql.withdrawn_exports(connection, last, BATCH)
            total += await self._expire_all(page, ANY_TIME)
            async with self._database.connection() as connection:
                for export_id in page:
                    await sql.forget_withdrawn(connection, export_id)
            if len(page) < BATCH:
                return total
            last = page[-1]

    async def _expire_all(self, export_ids: Sequence[UUID], before: datetime) -> int:
        cause = Cause(source=Service.MAINTENANCE, correlation_id=uuid7())
        slots = asyncio.Semaphore(EXPORTS_AT_ONCE)

        async def expire(export_id: UUID) -> bool:
            async with slots:
                return await self._expire_or_log(export_id, before, cause)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(expire(export_id)) for export_id in export_ids]
        return sum(task.result() for task in tasks)

    async def _expire_or_log(self, export_id: UUID, before: datetime, cause: Cause) -> bool:
        try:
            done = await self._expire(export_id, before, cause)
        except (StorageFailed, Contended, Unavailable) as error:
            metrics.EXPIRY_FAILURES.labels("exports").inc()
            log.warning("expiry.export_left", export_id=str(export_id), reason=str(error))
            return False
        except Exception as error:
            metrics.EXPIRY_FAILURES.labels("exports").inc()
            log.error("expiry.export_failed", export_id=str(export_id), exc_info=error)
            return False
        if done:
            metrics.EXPIRED.labels("exports").inc()
            self._notifier.notify(notify.OUTBOX)
        return done

    async def _expire(self, export_id: UUID, before: datetime, cause: Cause) -> bool:
        stream = f"export-{export_id}"
        async with self._database.connection() as connection:
            completed, _ = await _expired(connection, stream, before)
        if completed is None:
            return False
        # Each completion of an export has a file with its own name, so this cannot delete a newer file.
        await self._storage.delete(completed.path)
        async with self._database.transaction() as connection:
            if not await sql.lock_stream(connection, stream):
                return False
            unchanged, version = await _expired(connection, stream, before)
            if unchanged != completed:
                return False
            await event_store.append(
                connection, stream, [ExportExpired(export_id=export_id)], cause, expected_version=version,
                new_id=lambda _: uuid5(export_id, f"{ExportExpired.TYPE}/{completed.path}"),
            )  # fmt: skip
        return True


async def _expired(connection: Connection, stream: str, before: datetime) -> tuple[ExportCompleted | None, int]:
    recorded = await event_store.read(connection, stream)
    return rules.expired((each.event for each in recorded), before=before), len(recorded)
