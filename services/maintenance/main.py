"""Build the maintenance service. Run: ``placewire run maintenance``."""

from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI

from chassis import recorded_files
from chassis.http.service import Background
from chassis.jobs.job_handler import JobHandler, StagedJobHandler
from chassis.jobs.worker_app import worker_app
from chassis.messaging.subscribers import WakeWorker
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from chassis.storage import Storage
from contracts.checks import CheckRequested
from contracts.jobs import Kind, Service
from services.maintenance import checks, handlers, subscribers
from services.maintenance.change_watch import ChangeWatch
from services.maintenance.clock import Clock
from services.maintenance.expiry import cleanup_loop
from services.maintenance.gauges import Gauges
from services.maintenance.schedule import Cron
from services.maintenance.settings import MaintenanceSettings


def create_app(settings: MaintenanceSettings) -> FastAPI:
    """Return the service. If ``STORAGE_URL`` is unusable, this function or the start raises ``SystemExit``."""
    storage = Storage(settings.storage_url)
    work: dict[Kind, JobHandler | StagedJobHandler] = {
        Kind.REFRESH: StagedJobHandler(stage=handlers.refresh, failed=handlers.failed),
        Kind.CHECK: JobHandler(handle=checks.answer, failed=checks.failed, batchable=frozenset({CheckRequested.TYPE})),
    }
    check = partial(recorded_files.check, storage=storage, ignore_missing=settings.storage_ignore_missing_files)
    background_tasks = partial(_background_tasks, settings, storage)
    return worker_app(
        settings, Service.MAINTENANCE, work, subscribers.subscribe, check=check, background_tasks=background_tasks
    )


def _background_tasks(
    settings: MaintenanceSettings, storage: Storage, database: Database, notifier: Notifier, wake: WakeWorker
) -> Sequence[Background]:
    cron = Cron(settings.materialized_view_refresh_interval, settings.zone)
    tasks = [
        Clock(database, notifier, cron, wake).run,
        *cleanup_loop.tasks(settings, storage, database, notifier),
        Gauges(database).run,
    ]
    if settings.refresh_after_change_s:
        watch = ChangeWatch(database, notifier, wake, max_pause_s=settings.refresh_after_change_s)
        tasks.append(watch.run)
    return tasks
