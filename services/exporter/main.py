"""Build the exporter. Run: ``placewire run exporter``."""

from functools import partial
from itertools import product

from fastapi import FastAPI

from chassis import recorded_files
from chassis.jobs.worker_app import worker_app
from chassis.observability import metrics
from chassis.storage import Storage
from contracts.exports import INVITATIONS, ExportFormat, ExportKind
from contracts.jobs import Kind, Service
from services.exporter import handlers, subscribers
from services.exporter.settings import ExporterSettings


def create_app(settings: ExporterSettings) -> FastAPI:
    """Return the service. If ``STORAGE_URL`` is unusable, this function or the start raises ``SystemExit``."""
    for kind, format_ in [*product(ExportKind, ExportFormat), (INVITATIONS, ExportFormat.CSV)]:
        metrics.EXPORT_ROWS.labels(kind, format_)
        metrics.EXPORT_BYTES.labels(kind, format_)
    storage = Storage(settings.storage_url)
    work = handlers.work(storage, tries=settings.storage_tries, kept_s=settings.export_kept_s, zone=settings.zone)
    check = partial(recorded_files.check, storage=storage, ignore_missing=settings.storage_ignore_missing_files)
    return worker_app(settings, Service.EXPORTER, {Kind.EXPORT: work}, subscribers.subscribe, check=check)
