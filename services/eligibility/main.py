"""Build the eligibility service. Run: ``placewire run eligibility``."""

from fastapi import FastAPI

from chassis.jobs.job_handler import JobHandler
from chassis.jobs.worker_app import worker_app
from contracts.drives import DrivePublished, EligibilityRequested, ReevaluationRequested
from contracts.jobs import Kind, Service
from services.eligibility import handlers, subscribers
from services.eligibility.settings import EligibilitySettings


def create_app(settings: EligibilitySettings) -> FastAPI:
    work = {
        Kind.ELIGIBILITY: JobHandler(
            handle=handlers.evaluate,
            failed=handlers.failed,
            batchable=frozenset({ReevaluationRequested.TYPE}),
            newest_wins=frozenset({DrivePublished.TYPE, EligibilityRequested.TYPE}),
        )
    }
    return worker_app(settings, Service.ELIGIBILITY, work, subscribers.subscribe)
