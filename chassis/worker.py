"""The process of a service that owns job kinds: consumer, runner, and the internal endpoint, around one ``receive``."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Header
from fastapi.responses import Response

from chassis import identity, problems, series, telemetry, tracing
from chassis.bus import Consumer
from chassis.database import Database
from chassis.errors import Unauthenticated
from chassis.notify import Notifier
from chassis.responses import json_response
from chassis.runner import Runner
from chassis.service import Background, add_health, background
from chassis.settings import ServiceSettings
from chassis.work import LongWork, Work
from contracts.jobs import HAND_OVER_PATH, TOPIC_OF, HandedOver, Kind, Service, Via
from contracts.message import Envelope
from contracts.topics import Topic

# Events taken at the same moment; more are told to come back, and their senders leave them to the bus or the sweep.
MAX_HAND_OVERS = 64


# What must hold before a service starts.
Check = Callable[[Database], Awaitable[None]]
# Start the jobs with these ids in this process: the service itself requested them.
Receive = Callable[[Sequence[UUID]], Awaitable[object]]
# A service's own background tasks, built from the app's database, notifier and worker. None of them ends.
Beside = Callable[[Database, Notifier, Receive], Sequence[Background]]


async def _nothing(_database: Database) -> None:
    return None


def _nobody(_database: Database, _notifier: Notifier, _receive: Receive) -> Sequence[Background]:
    return ()


def worker_app(
    settings: ServiceSettings,
    service: Service,
    work: Mapping[Kind, Work | LongWork],
    *,
    check: Check = _nothing,
    beside: Beside = _nobody,
) -> FastAPI:
    """The app of ``service``. It starts, and serves, without Kafka; the consumer joins when the broker appears.

    ``check`` is awaited first, and ends the process by what it raises. ``beside`` makes what runs beside the jobs,
    until the service has stopped claiming and its jobs have ended.
    """
    telemetry.set_up_logs(service, format_=settings.log_format, level=settings.log_level)
    tracing.start(service, settings)
    database = Database(
        settings.database_url, pool_size=settings.database_pool_size, application_name=f"placewire-{service}"
    )
    notifier = Notifier(settings.database_url, application_name=f"placewire-{service}-notify")
    runner = _runner(settings, database, notifier, service, work)
    series.of_jobs(service, work)
    app = FastAPI(
        title=f"Placewire {service}",
        lifespan=_lifespan(
            settings, database, notifier, runner, list(dict.fromkeys(TOPIC_OF[kind] for kind in work)), check, beside
        ),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=tracing.of_requests(),
    )
    problems.install(app)
    add_health(app, database, lambda: {"running": runner.busy, "paused": runner.paused})
    _add_hand_over(app, runner, settings)

    def stopping() -> None:
        app.state.stopping_since = asyncio.get_running_loop().time()
        runner.stop_claiming()

    app.state.on_stopping = stopping
    return app


def _runner(
    settings: ServiceSettings,
    database: Database,
    notifier: Notifier,
    service: Service,
    work: Mapping[Kind, Work | LongWork],
) -> Runner:
    return Runner(
        database,
        notifier,
        service,
        work,
        owner=f"{socket.gethostname()}:{settings.port}",
        at_once=settings.jobs_at_once,
        lease_s=settings.job_lease_s,
        paused_retry_s=settings.paused_retry_s,
    )


def _lifespan(
    settings: ServiceSettings,
    database: Database,
    notifier: Notifier,
    runner: Runner,
    heard: list[Topic],
    check: Check,
    beside: Beside,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    consumer = Consumer(settings, database, runner.service, heard, lambda ids: runner.receive(ids, Via.BUS))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await check(database)
        clock = asyncio.get_running_loop().time
        # As in the sweep, the event is read from the database, whether or not Kafka delivers it too.
        own = beside(database, notifier, lambda ids: runner.receive(ids, Via.SWEEP))
        async with background(notifier.run), background(*own), background(consumer.run), background(runner.run):
            yield
            # The requests in hand have had their part of the grace time before this.
            began: float = getattr(app.state, "stopping_since", clock())
            await runner.stop(max(settings.shutdown_grace_s - (clock() - began), 0))
            await notifier.flush()
        await database.close()

    return lifespan


def _add_hand_over(app: FastAPI, runner: Runner, settings: ServiceSettings) -> None:
    at_once = asyncio.Semaphore(MAX_HAND_OVERS)
    secret = settings.internal_secret.get_secret_value()

    @app.post(HAND_OVER_PATH)
    async def hand_over(
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
            if runner.paused:
                # The job waits for another replica or a retry. 503: the caller must not wait for its end.
                return problems.problem(503, "Paused.", headers={"Retry-After": "1"})
            job = await runner.read(event.id)
        return json_response(HandedOver(job=job).model_dump(mode="json"))
