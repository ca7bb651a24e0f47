"""Builds the eligibility service. Run: ``placewire run eligibility``."""

from fastapi import FastAPI

from chassis.work import Work
from chassis.worker import worker_app
from contracts.drives import ReevaluationRequested
from contracts.jobs import Kind, Service
from services.eligibility import handlers
from services.eligibility.settings import EligibilitySettings


def create_app(settings: EligibilitySettings) -> FastAPI:
    small = frozenset({ReevaluationRequested.TYPE})
    work = {Kind.ELIGIBILITY: Work(handle=handlers.evaluate, failed=handlers.failed, small=small)}
    return worker_app(settings, Service.ELIGIBILITY, work)
