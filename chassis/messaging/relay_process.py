"""Build the relay's process: the relay and its health endpoints. Run: ``placewire run relay``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import Field

from chassis.http.service import add_health, background, serve
from chassis.messaging.relay import Relay
from chassis.observability import logs, metrics, tracing
from chassis.postgres.database import Database
from chassis.settings import KafkaSettings, ProcessSettings, load


class RelaySettings(ProcessSettings, KafkaSettings):
    port: int = Field(default=5004, ge=1, le=65535, description="port to listen on")
    database_pool_size: int = Field(
        default=2, ge=1, description="connections for health checks; the relay opens two more"
    )


def create_app(settings: RelaySettings) -> FastAPI:
    logs.set_up_logs("relay", format_=settings.log_format, level=settings.log_level)
    tracing.start("relay", settings)
    database = Database(
        settings.database_url, pool_size=settings.database_pool_size, application_name="placewire-relay-health"
    )
    relay = Relay(settings, settings.database_url)
    metrics.init_relay_metrics()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with background(relay.run):
            yield
        await database.close()

    app = FastAPI(
        title="Placewire relay",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=tracing.fastapi_options(),
    )
    add_health(app, database, lambda: {"leading": relay.leading})
    return app


if __name__ == "__main__":
    relay_settings = load(RelaySettings)
    serve(create_app(relay_settings), relay_settings)
