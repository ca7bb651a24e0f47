"""Several APIs over one database in one process, each with its own connections, lists and settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from services.api.main import create_app
from services.api.settings import ApiSettings
from tests.conftest import Api
from tests.support.eventually import eventually
from tests.support.system import SECRET, as_role


def settings(database_url: str, folder: Path, **given: Any) -> ApiSettings:
    return ApiSettings(
        environment="development",
        database_url=as_role(database_url, "placewire_api"),
        jwt_secret=given.pop("jwt_secret", SECRET),
        internal_secret=SECRET,
        storage_url=given.pop("storage_url", (folder / "uploads").as_uri()),
        eligibility_url="http://127.0.0.1:9",
        exporter_url="http://127.0.0.1:9",
        maintenance_url="http://127.0.0.1:9",
        log_format="text",
        **given,
    )


@asynccontextmanager
async def replica(database_url: str, folder: Path, **given: Any) -> AsyncIterator[Api]:
    """One more, listening."""
    app = create_app(settings(database_url, folder, **given))
    async with app.router.lifespan_context(app):

        async def listening() -> bool:
            return bool(app.state.guard.changes.listening)

        await eventually(listening)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client:
            yield Api(app, client, app.state.context.database)
