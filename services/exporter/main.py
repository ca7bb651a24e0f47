"""Builds the exporter. Run: ``placewire run exporter``."""

from fastapi import FastAPI

from chassis.storage import Storage
from chassis.worker import worker_app
from contracts.jobs import Kind, Service
from services.exporter import handlers
from services.exporter.settings import ExporterSettings


def create_app(settings: ExporterSettings) -> FastAPI:
    """Raises ``SystemExit`` with one line, here or when it starts, when files cannot be kept at ``STORAGE_URL``."""
    storage = Storage(settings.storage_url)
    work = handlers.work(storage, tries=settings.storage_tries, kept_s=settings.export_kept_s)
    return worker_app(settings, Service.EXPORTER, {Kind.EXPORT: work}, check=storage.check)
