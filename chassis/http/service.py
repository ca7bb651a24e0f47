"""The HTTP server of every process: health, metrics, start and shutdown."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import asyncpg
import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chassis.errors import LogNotAdopted, Unavailable
from chassis.http.responses import json_response
from chassis.observability import metrics, tracing
from chassis.observability.error_text import described
from chassis.postgres.database import Database, connect_alone
from chassis.settings import ProcessSettings, ServerSettings

# uvloop accepts one connection for each listening socket in a round of its loop (measured; asyncio accepts all). With
# one socket, new callers in an overload would not even get a 503. uvloop also accepts one for each duplicate of a
# socket.
ACCEPTED_AT_ONCE = 16

log = structlog.get_logger()

Background = Callable[[], Awaitable[None]]


@asynccontextmanager
async def background(*tasks: Background) -> AsyncIterator[None]:
    """Run ``tasks`` while the block lasts. Log a task that raises, and start it again after a second."""

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
    """Add ``/livez``, ``/readyz`` and ``/metrics``. Ready means that the database answers. Kafka is not checked."""

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        try:
            if database is not None:
                async with asyncio.timeout(2), database.connection() as connection:
                    await connection.fetchval("SELECT 1")
        except LogNotAdopted:
            return json_response({"status": "log not adopted", **details()}, 503)
        except (Unavailable, TimeoutError):
            return json_response({"status": "database away", **details()}, 503)
        return json_response({"status": "ready", **details()})

    @app.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        if database is not None:
            used, opened, allowed = database.pool_use()
            metrics.POOL_SIZE.set(allowed)
            metrics.POOL_CONNECTIONS.labels("used").set(used)
            metrics.POOL_CONNECTIONS.labels("open").set(opened)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class Server(uvicorn.Server):
    """Uvicorn that calls the app's ``state.on_stopping`` as soon as a signal arrives.

    Uvicorn's shutdown first waits for running requests. These may wait for tasks that ``on_stopping`` ends.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app = self.config.app
        if isinstance(app, FastAPI) and (on_stopping := getattr(app.state, "on_stopping", None)):
            asyncio.get_running_loop().call_soon_threadsafe(on_stopping)
        super().handle_exit(sig, frame)


def refuse_unadopted_log(settings: ProcessSettings) -> None:
    """Exit if the event log was moved here and not yet adopted (``placewire adopt-log``).

    If the database cannot be reached, the process starts anyway: each new connection checks the log again.
    """

    async def check() -> None:
        connection = await connect_alone(settings.database_url, application_name="placewire-start")
        await connection.close(timeout=1)

    try:
        asyncio.run(check())
    except LogNotAdopted as error:
        raise SystemExit(str(error)) from None
    except (Unavailable, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        log.warning("start.database_away", reason=described(error))


def serve(app: FastAPI, settings: ServerSettings) -> None:
    """Serve ``app`` until SIGTERM or SIGINT; running requests have ``shutdown_grace_s`` to finish.

    A process that uses the database exits at once when `placewire adopt-log` must be run first.
    """
    if isinstance(settings, ProcessSettings):
        refuse_unadopted_log(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(settings.shutdown_grace_s),
        server_header=False,
        # Code that needs the client's address decides which proxies it trusts.
        proxy_headers=False,
        lifespan="on",
    )
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    listening = config.bind_socket()
    # Imported modules and the app are never garbage. To scan them would block the event loop for tens of milliseconds.
    gc.collect()
    gc.freeze()
    Server(config).run([listening, *(listening.dup() for _ in range(ACCEPTED_AT_ONCE - 1))])
    tracing.stop()
