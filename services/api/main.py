"""Builds the API. Run: ``placewire run api``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from chassis import notify, problems, telemetry
from chassis.breaker import BusWatch
from chassis.database import Database
from chassis.notify import Listener, Notifier
from chassis.service import add_health, background
from chassis.storage import Storage
from contracts.jobs import Service
from services.api import access, uploads
from services.api.access import AccessChanges
from services.api.analytics import routes as analytics
from services.api.context import Context
from services.api.domains import routes as domains
from services.api.drives import routes as drives
from services.api.eligibility import routes as eligibility
from services.api.hand_over import Services
from services.api.job_watch import JobWatch
from services.api.jobs import routes as jobs
from services.api.links import Links
from services.api.notifications import routes as notifications
from services.api.request_scope import RequestScope
from services.api.settings import ApiSettings
from services.api.students import routes as students
from services.api.sweep import Sweep
from services.api.users import routes as users
from services.api.users.throttle import Throttle

ROUTERS = (users, students, domains, drives, eligibility, jobs, notifications, analytics, uploads)


def create_app(settings: ApiSettings) -> FastAPI:
    """Raises ``SystemExit`` with one line when a setting leads nowhere, ``RuntimeError`` for an unguarded route."""
    telemetry.set_up_logs("api", format_=settings.log_format, level=settings.log_level)
    context = _context(settings)
    changes = AccessChanges(context.database)
    app = FastAPI(
        title="Placewire",
        description="The backend of a campus placement cell.",
        version="1",
        docs_url="/api/docs",
        openapi_url="/api/openapi.json",
        redoc_url=None,
        lifespan=lambda app: _running(app, context, changes),
        redirect_slashes=False,
    )
    app.state.context = context
    app.state.access_changes = changes
    app.state.jwt_secret = settings.jwt_secret.get_secret_value()
    app.state.throttle = Throttle(settings.login_failures_per_minute)
    app.state.stopping = asyncio.Event()
    problems.install(app)
    add_health(app, context.database, lambda: {"bus": context.bus.states()})
    for room in ROUTERS:
        app.include_router(room.router)
    access.require_declared_access(app)
    app.add_middleware(RequestScope, import_max_bytes=settings.import_max_bytes)
    return app


def _context(settings: ApiSettings) -> Context:
    database = Database(settings.database_url, pool_size=settings.database_pool_size, application_name="placewire-api")
    urls = {
        Service.ELIGIBILITY: settings.eligibility_url,
        Service.EXPORTER: settings.exporter_url,
        Service.MAINTENANCE: settings.maintenance_url,
    }
    return Context(
        settings=settings,
        database=database,
        notifier=Notifier(settings.database_url, application_name="placewire-api-notify"),
        bus=BusWatch(database),
        services=Services(urls, settings.internal_secret.get_secret_value()),
        jobs=JobWatch(database),
        storage=Storage(settings.storage_url),
        links=Links(settings.jwt_secret.get_secret_value()),
    )


@asynccontextmanager
async def _running(app: FastAPI, context: Context, changes: AccessChanges) -> AsyncIterator[None]:
    settings = context.settings
    await context.storage.check()
    reload = asyncio.Event()

    def noticed(channel: str, payload: str) -> None:
        if channel == notify.JOB:
            context.jobs.moved(payload)
        else:
            changes.listening = False  # until the change has been read
            reload.set()

    def connected() -> None:
        context.jobs.all_may_have_moved()
        reload.set()

    def lost() -> None:
        changes.listening = False

    listener = Listener(
        settings.database_url,
        [notify.JOB, access.CHANNEL],
        application_name="placewire-api-listen",
        on_notice=noticed,
        on_connected=connected,
        on_lost=lost,
    )
    sweep = Sweep(settings.database_url, context.services)
    async with background(
        context.notifier.run,
        context.bus.run,
        sweep.run,
        listener.run,
        lambda: changes.keep_fresh(reload, lambda: listener.connected),
    ):
        yield
        await context.notifier.flush()
    await context.services.close()
    await context.database.close()
