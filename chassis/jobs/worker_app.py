"""Build the process of a service that owns job kinds. Its worker polls; Kafka and an internal endpoint wake it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Header
from fastapi.responses import Response

from chassis import tokens
from chassis.errors import Unauthenticated
from chassis.http import problems
from chassis.http.service import Background, add_health, background
from chassis.jobs.job_handler import JobHandler, StagedJobHandler
from chassis.jobs.worker import Worker
from chassis.messaging.kafka import Consumer
from chassis.messaging.subscribers import Subscribe, WakeWorker
from chassis.observability import logs, metrics, tracing
from chassis.postgres.database import Database
from chassis.postgres.notify import Notifier
from chassis.settings import ServiceSettings
from contracts.jobs import RUN_PATH, TOPIC_OF, Channel, Kind, Service

# Runs before a service starts; an exception ends the process.
Check = Callable[[Database], Awaitable[None]]
# Returns a service's own background tasks, which must never end. Gets the app's database and notifier, and the worker's
# ``wake``.
BackgroundTaskFactory = Callable[[Database, Notifier, WakeWorker], Sequence[Background]]


async def _nothing(_database: Database) -> None:
    return None


def _no_background_tasks(_database: Database, _notifier: Notifier, _wake: WakeWorker) -> Sequence[Background]:
    return ()


def worker_app(
    settings: ServiceSettings,
    service: Service,
    work: Mapping[Kind, JobHandler | StagedJobHandler],
    subscribe: Subscribe,
    *,
    check: Check = _nothing,
    background_tasks: BackgroundTaskFactory = _no_background_tasks,
) -> FastAPI:
    """Return the app of ``service``. It starts and works without Kafka; its consumer connects when Kafka is available.

    ``subscribe`` adds the service's handlers to its FastStream subscriber. ``check`` is awaited first; an exception
    ends the process. The tasks of ``background_tasks`` run until the worker has stopped.
    """
    logs.set_up_logs(service, format_=settings.log_format, level=settings.log_level)
    tracing.start(service, settings)
    database = Database(
        settings.database_url, pool_size=settings.database_pool_size, application_name=f"placewire-{service}"
    )
    notifier = Notifier(settings.database_url, application_name=f"placewire-{service}-notify")
    worker = _worker(settings, database, notifier, service, work)
    consumed = list(dict.fromkeys(TOPIC_OF[kind] for kind in work))
    consumer = Consumer(settings, database, service, consumed, subscribe, worker.wake)
    worker.bus_is_healthy = consumer.is_healthy
    metrics.init_job_metrics(service, work)
    app = FastAPI(
        title=f"Placewire {service}",
        lifespan=_lifespan(settings, database, notifier, worker, consumer, check, background_tasks),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=tracing.fastapi_options(),
    )
    problems.install(app)
    add_health(app, database, lambda: {"running": worker.busy, "paused": worker.paused})
    _add_run(app, worker, settings)

    def stopping() -> None:
        app.state.stopping_since = asyncio.get_running_loop().time()
        worker.stop_claiming()

    app.state.on_stopping = stopping
    return app


def _worker(
    settings: ServiceSettings,
    database: Database,
    notifier: Notifier,
    service: Service,
    work: Mapping[Kind, JobHandler | StagedJobHandler],
) -> Worker:
    return Worker(
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
    worker: Worker,
    consumer: Consumer,
    check: Check,
    background_tasks: BackgroundTaskFactory,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await check(database)
        clock = asyncio.get_running_loop().time
        own_tasks = background_tasks(database, notifier, worker.wake)
        async with background(notifier.run), background(*own_tasks), background(consumer.run), background(worker.run):
            yield
            # Running requests have already used a part of the grace time.
            began: float = getattr(app.state, "stopping_since", clock())
            await worker.stop(max(settings.shutdown_grace_s - (clock() - began), 0))
            await notifier.flush()
        await database.close()

    return lifespan


def _add_run(app: FastAPI, worker: Worker, settings: ServiceSettings) -> None:
    secret = settings.internal_secret.get_secret_value()

    @app.post(RUN_PATH)
    async def run(job_id: UUID, authorization: Annotated[str, Header()] = "") -> Response:
        """Wake the worker for the job. The caller finds the job's end in the database.

        503: the worker is paused after too many failures. The caller should not wait: only one job a minute is tried.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Invalid service token")
        tokens.check_service_token(token, worker.service, secret)
        worker.wake(job_id, Channel.HTTP)
        if worker.paused:
            return problems.problem(503, "Paused.", headers={"Retry-After": "1"})
        return Response(status_code=202)
