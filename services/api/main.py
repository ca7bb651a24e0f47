"""Build the API. Run: ``placewire run api``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from chassis import recorded_files
from chassis.http import problems
from chassis.http.service import add_health, background
from chassis.messaging.breaker import CircuitBreakers
from chassis.observability import logs, tracing
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from chassis.storage import Storage
from contracts.jobs import Service
from services.api import docs_page, uploads
from services.api.analytics import refresh_routes as analytics_refresh
from services.api.analytics import routes as analytics
from services.api.attendance import routes as attendance
from services.api.context import Context
from services.api.dead_letters import routes as dead_letters
from services.api.domains import routes as domains
from services.api.drives import routes as drives
from services.api.eligibility import routes as eligibility
from services.api.exports import invitation_routes as invitations
from services.api.exports import routes as exports
from services.api.finished_drives import routes as finished_drives
from services.api.finished_drives.report import Reports
from services.api.history import routes as past
from services.api.http import access, cross_origin, methods, openapi_document, strict_input
from services.api.http.access import AccessChanges, Guard
from services.api.http.body_limits import too_large
from services.api.http.client_address import networks
from services.api.http.frontend import Frontend
from services.api.http.issuer_keys import IssuerKeys
from services.api.http.limits import Admission, RateLimits
from services.api.http.links import Links
from services.api.http.long_lists import LongLists
from services.api.http.polled_lists import PolledLists
from services.api.http.request_scope import RequestScope, full_paths
from services.api.http.sign_in_tokens import Issuer, Tokens
from services.api.http.source_gate import SourceGate
from services.api.job_watch import JobWatch
from services.api.jobs import routes as jobs
from services.api.jobs.following import OpenStreams
from services.api.listening import listener
from services.api.notifications import routes as notifications
from services.api.operations import routes as operations
from services.api.personal_data import routes as personal_data
from services.api.registrations import routes as registrations
from services.api.settings import ApiSettings
from services.api.students import import_routes
from services.api.students import routes as students
from services.api.subfilter import routes as subfilter
from services.api.users import auth_routes as auth
from services.api.users import passwords
from services.api.users import routes as users
from services.api.users.throttle import Throttle
from services.api.workers import Workers

# Starlette tries the routes in order, so these come first. Then a registration takes 7 % less processor time, and a
# poll takes the same (16 pairs of ``bench accept``; two runs of the same code differ by 5 %).
BUSIEST_PATHS = (
    "/api/drives",
    "/api/registrations/{drive_id}/register",
    "/api/registrations/{drive_id}/check",
    "/api/eligibility/{drive_id}/check",
    "/api/notifications/mine",
    "/api/job-domains",
)
ROUTERS = (
    drives,
    eligibility,
    registrations,
    notifications,
    domains,
    auth,
    users,
    students,
    attendance,
    finished_drives,
    subfilter,
    exports,
    invitations,
    jobs,
    dead_letters,
    operations,
    analytics,
    analytics_refresh,
    past,
    personal_data,
    uploads,
)


def create_app(settings: ApiSettings) -> FastAPI:
    """Return the API. Raise ``SystemExit`` for an unusable setting, ``RuntimeError`` for a route without roles."""
    logs.set_up_logs("api", format_=settings.log_format, level=settings.log_level)
    tracing.start("api", settings)
    context = _context(settings)
    issuer = _issuer(settings)
    tokens = Tokens(*settings.jwt_secrets, issuer=issuer)
    changes = AccessChanges(context.database, tokens, other_issuer=issuer is not None)
    app = FastAPI(
        title="Placewire",
        description="The backend of a campus placement cell.",
        version="1",
        docs_url=None if settings.assets_folder else docs_page.PATH,
        openapi_url="/api/openapi.json",
        redoc_url=None,
        lifespan=lambda _app: _running(context, changes, issuer),
        redirect_slashes=False,
        telemetry=tracing.fastapi_options(),
    )
    app.state.context = context
    app.state.guard = Guard(tokens, RateLimits[int](settings.requests_per_second, settings.requests_burst), changes)
    app.state.throttle = Throttle(settings.login_failures_per_minute, settings.login_failures_per_source_per_minute)
    app.state.trusted_proxies = networks(settings.trusted_proxies)
    app.state.stopping = asyncio.Event()
    app.state.open_streams = OpenStreams()
    app.state.on_stopping = partial(_stop_waiting, app)
    problems.install(app)
    app.add_exception_handler(413, too_large)
    add_health(app, context.database, lambda: {"bus": context.breakers.states()})
    _add_routes(app, settings)
    if settings.assets_folder is not None:
        docs_page.install(app, settings.assets_folder)
    if settings.frontend_dist is not None:
        app.router.default = Frontend(directory=settings.frontend_dist)
    app.state.gate = SourceGate(app.state.throttle, tokens, app.state.trusted_proxies)
    admission = Admission(settings.requests_at_once)
    app.add_middleware(RequestScope, admission=admission, route_paths=full_paths(app), gate=app.state.gate)
    if settings.allowed_origins:
        cross_origin.install(app, settings.allowed_origins)
    return app


def _add_routes(app: FastAPI, settings: ApiSettings) -> None:
    for package in ROUTERS:
        # Not `include_router`: Starlette would match every request a second time in the nested router.
        app.router.routes.extend(package.router.routes)
    app.router.routes.extend(import_routes.limited(settings.import_max_bytes).routes)
    app.router.routes.sort(key=lambda route: getattr(route, "path", None) not in BUSIEST_PATHS)
    access.require_declared_access(app)
    strict_input.install(app, [route for _, route in access.published_routes(app)])
    methods.install(app)
    openapi_document.install(app)


def _stop_waiting(app: FastAPI) -> None:
    app.state.stopping.set()
    app.state.context.jobs.close()


def _issuer(settings: ApiSettings) -> Issuer | None:
    if settings.jwt_jwks_url is None:
        return None
    return Issuer(IssuerKeys(settings.jwt_jwks_url), settings.jwt_issuer, settings.jwt_audience)


def _context(settings: ApiSettings) -> Context:
    links = Links(*settings.jwt_secrets)
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
        breakers=CircuitBreakers(database),
        workers=Workers(urls, settings.internal_secret.get_secret_value()),
        jobs=JobWatch(database),
        storage=Storage(settings.storage_url),
        links=links,
        lists=PolledLists(database, links),
        long_lists=LongLists(database, at_once=max(1, settings.database_pool_size // 4)),
        reports=Reports(),
    )


@asynccontextmanager
async def _running(context: Context, changes: AccessChanges, issuer: Issuer | None) -> AsyncIterator[None]:
    settings = context.settings
    await recorded_files.check(context.database, context.storage, ignore_missing=settings.storage_ignore_missing_files)
    notify_listener = listener(settings.database_url, [context.jobs, context.lists, changes])
    keys = [issuer.keys.run] if issuer else []
    async with background(context.notifier.run, context.breakers.run, notify_listener.run, changes.run, *keys):
        yield
        await context.notifier.flush()
    passwords.close()
    await context.workers.close()
    await context.database.close()
