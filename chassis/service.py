"""What a process is outside its work: health, metrics, the internal job endpoint, starting and stopping."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import FrameType
from typing import Annotated, Any

import structlog
import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chassis import identity, problems, telemetry
from chassis.bus import Consumer
from chassis.database import Database
from chassis.errors import Unauthenticated, Unavailable
from chassis.notify import Notifier
from chassis.responses import json_response
from chassis.runner import Runner
from chassis.settings import ProcessSettings, ServiceSettings
from chassis.work import LongWork, Work
from contracts.jobs import HAND_OVER_PATH, TOPIC_OF, HandedOver, Kind, Service, Via
from contracts.message import Envelope

# Events taken at the same moment; more are told to come back, and their senders leave them to the bus or the sweep.
MAX_HAND_OVERS = 64

log = structlog.get_logger()

Background = Callable[[], Awaitable[None]]


@asynccontextmanager
async def background(*tasks: Background) -> AsyncIterator[None]:
    """Run ``tasks`` while the block lasts. Each is made never to end; one that does is logged as the bug it is."""

    async def guarded(task: Background) -> None:
        while True:
            try:
                await task()
            except Exception as error:
                log.error("background.failed", task=getattr(task, "__qualname__", repr(task)), exc_info=error)
                await asyncio.sleep(1)
            else:
                return

    started = [asyncio.create_task(guarded(task)) for task in tasks]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


def add_health(app: FastAPI, database: Database | None, details: Callable[[], Mapping[str, Any]]) -> None:
    """``/livez``, ``/readyz`` and ``/metrics``. Ready means: the database answers. The bus is a detail."""

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        try:
            if database is not None:
                async with asyncio.timeout(2), database.connection() as connection:
                    await connection.fetchval("SELECT 1")
        except (Unavailable, TimeoutError):
            return json_response({"status": "database away", **details()}, 503)
        return json_response({"status": "ready", **details()})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        if database is not None:
            used, opened = database.pool_use()
            telemetry.POOL_CONNECTIONS.labels("used").set(used)
            telemetry.POOL_CONNECTIONS.labels("open").set(opened)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _nothing() -> None:
    return None


def worker_app(
    settings: ServiceSettings,
    service: Service,
    work: Mapping[Kind, Work | LongWork],
    *,
    check: Callable[[], Awaitable[None]] = _nothing,
) -> FastAPI:
    """A service that owns job kinds: consumer, runner and the internal endpoint around the same ``receive``.

    It starts, and serves, without Kafka; the consumer joins when the broker appears. ``check`` is awaited first, and
    ends the process by what it raises.
    """
    telemetry.set_up_logs(service, format_=settings.log_format, level=settings.log_level)
    database = Database(
        settings.database_url, pool_size=settings.database_pool_size, application_name=f"placewire-{service}"
    )
    notifier = Notifier(settings.database_url, application_name=f"placewire-{service}-notify")
    runner = Runner(
        database,
        notifier,
        service,
        work,
        owner=f"{socket.gethostname()}:{settings.port}",
        at_once=settings.jobs_at_once,
        lease_s=settings.job_lease_s,
    )
    heard = [TOPIC_OF[kind] for kind in work]
    consumer = Consumer(settings, database, service, heard, lambda ids: runner.receive(ids, Via.BUS))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await check()
        clock = asyncio.get_running_loop().time
        async with background(notifier.run), background(consumer.run), background(runner.run):
            yield
            began: float = getattr(app.state, "stopping_since", clock())
            await runner.stop(max(settings.shutdown_grace_s - (clock() - began), 0))
            await notifier.flush()
        await database.close()

    def stopping() -> None:
        app.state.stopping_since = asyncio.get_running_loop().time()
        runner.stop_claiming()

    app = FastAPI(title=f"Placewire {service}", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    add_health(app, database, lambda: {"running": runner.busy, "braked": runner.braked})
    _add_hand_over(app, runner, settings)
    app.state.on_stopping = stopping
    return app


def _add_hand_over(app: FastAPI, runner: Runner, settings: ServiceSettings) -> None:
    at_once = asyncio.Semaphore(MAX_HAND_OVERS)
    secret = settings.internal_secret.get_secret_value()

    @app.post(HAND_OVER_PATH)
    async def hand_over(
        request: Request,
        event: Envelope,
        authorization: Annotated[str, Header()] = "",
        placewire_via: Annotated[Via, Header()] = Via.HTTP,
    ) -> Response:
        """Receive the event as the bus would have brought it. Whoever wants its result hears of it from Postgres."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Invalid service token")
        identity.check_service_token(token, runner.service, secret)
        if at_once.locked():
            return problems.problem(503, "Busy.", headers={"Retry-After": "1"})
        async with at_once:
            await runner.receive([event.id], placewire_via)
            job = await runner.wait(event.id, timeout_s=0)
        return json_response(HandedOver(job=job).model_dump(mode="json"))


def preferred_wait_s(prefer: str, *, at_most: float) -> float:
    """The seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3), 0 without one, never more than ``at_most``."""
    for preference in prefer.split(","):
        name, _, value = preference.strip().partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return min(float(seconds), at_most)
    return 0.0


class Server(uvicorn.Server):
    """Uvicorn that calls the app's ``state.on_stopping`` at once when it is asked to stop.

    Its own shutdown comes after the requests in hand, and those may be waiting for something that must stop first.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app = self.config.app
        if isinstance(app, FastAPI) and (on_stopping := getattr(app.state, "on_stopping", None)):
            asyncio.get_running_loop().call_soon_threadsafe(on_stopping)
        super().handle_exit(sig, frame)


def serve(app: FastAPI, settings: ProcessSettings) -> None:
    """Serve ``app`` until SIGTERM or SIGINT; requests in hand have ``shutdown_grace_s`` to finish."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(settings.shutdown_grace_s),
        server_header=False,
        lifespan="on",
    )
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Server(config).run()
