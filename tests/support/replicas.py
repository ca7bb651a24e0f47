"""Several replicas of the API in one process and on one database, each with its own connections and settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from services.api.main import create_app
from tests.conftest import Api
from tests.support.eventually import eventually
from tests.support.service_settings import api_settings


@asynccontextmanager
async def replica(database_url: str, folder: Path, **given: Any) -> AsyncIterator[Api]:
    """Yield another replica of the API, when it receives notifications."""
    app = create_app(api_settings(database_url, folder, **given))
    async with app.router.lifespan_context(app):

        async def listening() -> bool:
            return bool(app.state.guard.changes.listening)

        await eventually(listening)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client:
            yield Api(app, client, app.state.context.database)
