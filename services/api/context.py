"""The dependencies of requests, created once per process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from chassis.messaging.breaker import CircuitBreakers
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from chassis.storage import Storage
from services.api.finished_drives.report import Reports
from services.api.http.links import Links
from services.api.http.long_lists import LongLists
from services.api.http.polled_lists import PolledLists
from services.api.job_watch import JobWatch
from services.api.settings import ApiSettings
from services.api.workers import Workers


@dataclass(frozen=True, slots=True)
class Context:
    settings: ApiSettings
    database: Database
    notifier: Notifier
    breakers: CircuitBreakers
    workers: Workers
    jobs: JobWatch
    storage: Storage
    links: Links
    lists: PolledLists
    long_lists: LongLists
    reports: Reports


def context_of(request: Request) -> Context:
    """Return the context of this process.

    The busiest routes call this function. ``ContextDep`` would cost them 5 % of their time.
    """
    context: Context = request.app.state.context
    return context


async def _context(request: Request) -> Context:
    # Async, because FastAPI would call a plain function in a thread for every request.
    return context_of(request)


ContextDep = Annotated[Context, Depends(_context)]
