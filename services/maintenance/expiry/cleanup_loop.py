"""Run the clean-up tasks regularly. Only the replica that holds an advisory lock runs them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from time import perf_counter

import structlog

from chassis.errors import Contended, StorageFailed, Unavailable
from chassis.http.service import Background
from chassis.observability import metrics
from chassis.postgres.database import Database
from chassis.postgres.leadership import leading
from chassis.postgres.notify import Notifier
from chassis.storage import Storage
from services.maintenance.expiry import due, orphans
from services.maintenance.expiry.due import Exports
from services.maintenance.settings import ExpirySettings

DUE_LOCK = 7_461_923_011
ORPHANS_LOCK = 7_461_923_012
# Expired links are kept for this time, so that their users get a message that the link has expired.
LINKS_KEPT = timedelta(days=7)
# Another replica takes over within this time when the leading one dies.
TRY_LOCK_EVERY_S = 5.0
# The database's clock, because the clock of this process may be wrong.
NOW = "SELECT clock_timestamp()"

CleanupTask = Callable[[datetime], Awaitable[int]]

log = structlog.get_logger()


class CleanupLoop:
    """Runs ``tasks`` one after the other, every ``every_s`` seconds, in one replica at a time."""

    def __init__(self, database_url: str, lock: int, every_s: float, tasks: Mapping[str, CleanupTask]) -> None:
        self._url = database_url
        self._lock = lock
        self._every_s = every_s
        self._tasks = tasks
        for what in tasks:
            metrics.EXPIRED.labels(what)
            metrics.EXPIRY_FAILURES.labels(what)
            metrics.EXPIRY_DURATION.labels(what)

    async def run(self) -> None:
        """Run the tasks regularly while this replica holds the lock, until cancelled."""
        while True:
            try:
                await self._lead()
            except Unavailable as error:
                log.warning("expiry.interrupted", reason=str(error))
            await asyncio.sleep(min(self._every_s, TRY_LOCK_EVERY_S))

    async def _lead(self) -> None:
        try_every_s = min(self._every_s, TRY_LOCK_EVERY_S)
        async with leading(
            self._url, self._lock, application_name="placewire-expiry", try_every_s=try_every_s
        ) as session:
            while True:
                await self.once(await session.fetchval(NOW))
                await asyncio.sleep(self._every_s)

    async def once(self, now: datetime) -> dict[str, int]:
        """Run each task. Return how much each has deleted. A failure is logged, and the other tasks still run."""
        return {what: await self._run_task(what, task, now) for what, task in self._tasks.items()}

    async def _run_task(self, what: str, task: CleanupTask, now: datetime) -> int:
        began = perf_counter()
        deleted = 0
        try:
            deleted = await task(now)
        except (Unavailable, Contended, StorageFailed) as error:
            metrics.EXPIRY_FAILURES.labels(what).inc()
            log.warning("expiry.postponed", what=what, reason=str(error))
        except Exception as error:
            metrics.EXPIRY_FAILURES.labels(what).inc()
            log.error("expiry.failed", what=what, exc_info=error)
        took_s = perf_counter() - began
        metrics.EXPIRY_DURATION.labels(what).observe(took_s)
        if deleted:
            log.info("expiry.deleted", what=what, count=deleted, took_s=round(took_s, 3))
        return deleted


def due_cleanup(settings: ExpirySettings, storage: Storage, database: Database, notifier: Notifier) -> CleanupLoop:
    """Return the loop that deletes expired data. Indexes find this data."""
    exports = Exports(database, storage, notifier)
    tasks: dict[str, CleanupTask] = {
        "idempotency_keys": lambda now: due.expire_keys(database, now - settings.idempotency_keys_kept),
        "jobs": lambda now: due.delete_jobs(database, now - settings.jobs_kept),
        "password_links": lambda now: due.delete_links(database, now - LINKS_KEPT),
        "access_log": lambda now: due.maintain_access_log(database, now, settings.access_log_kept),
        "withdrawn_exports": lambda _: exports.expire_withdrawn(),
        "exports": lambda now: exports.expire(now - settings.expired_files_kept),
    }
    return CleanupLoop(database.url, DUE_LOCK, settings.expiry_every_s, tasks)


def orphan_cleanup(settings: ExpirySettings, storage: Storage, database: Database) -> CleanupLoop:
    """Return the loop that deletes files and read marks without an owner. It must look at all of them."""
    tasks: dict[str, CleanupTask] = {
        "pdfs": lambda now: orphans.delete_pdfs(database, storage, now - settings.orphans_kept),
        "export_files": lambda now: orphans.delete_export_files(database, storage, now - settings.orphans_kept),
        "read_marks": lambda _: orphans.delete_read_marks(database),
    }
    return CleanupLoop(database.url, ORPHANS_LOCK, settings.orphans_every_s, tasks)


def tasks(settings: ExpirySettings, storage: Storage, database: Database, notifier: Notifier) -> Sequence[Background]:
    """Return the clean-up loops as background tasks of the maintenance service."""
    return [
        due_cleanup(settings, storage, database, notifier).run,
        orphan_cleanup(settings, storage, database).run,
    ]
