"""Build the console. Run: ``placewire run console``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.gzip import GZipMiddleware

from chassis.browser_assets import BrowserAssets
from chassis.http.service import add_health
from chassis.observability import logs, tracing
from services.console import problem_pages
from services.console.api_client import ApiConnections
from services.console.icons import Icons
from services.console.pages import PAGES
from services.console.rendering import Renderer
from services.console.request_scope import RequestScope
from services.console.sessions import Sessions
from services.console.settings import ConsoleSettings

STATIC = Path(__file__).with_name("static")
ASSETS = ("htmx.min.js", "htmx-sse.js", "bootstrap.min.css")
OWN_ASSETS = ("console.css", "console.js", "icon.svg")
SMALLEST_COMPRESSED = 1_000


def create_app(settings: ConsoleSettings) -> FastAPI:
    """Return the console. Raises ``SystemExit`` with one line when the browser assets are missing."""
    logs.set_up_logs("console", format_=settings.log_format, level=settings.log_level)
    tracing.start("console", settings)
    if settings.assets_folder is None:
        raise SystemExit("ASSETS_FOLDER is not set: fill a folder with `python -m devstack assets FOLDER`")
    folder = settings.assets_folder
    files = {name: folder / name for name in ASSETS} | {name: STATIC / name for name in OWN_ASSETS}
    assets = BrowserAssets("/console/assets", files)
    app = FastAPI(
        title="Placewire console",
        openapi_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
        telemetry=tracing.fastapi_options(),
    )
    app.state.api = ApiConnections(settings.api_url)
    app.state.sessions = Sessions(settings.console_secrets, public_url=settings.public_url)
    app.state.renderer = Renderer(assets, Icons(folder / "bootstrap-icons.svg"), settings.zone)
    app.state.zone = settings.zone
    problem_pages.install(app)
    add_health(app, None, dict)
    app.router.routes.append(assets.route)
    for page in PAGES:
        app.router.routes.extend(page.router.routes)
    app.add_middleware(GZipMiddleware, minimum_size=SMALLEST_COMPRESSED, compresslevel=5)
    app.add_middleware(RequestScope, route_paths=_paths(app))
    return app


def _paths(app: FastAPI) -> dict[int, str]:
    return {
        id(context.original_route): context.path
        for context in iter_route_contexts(app.routes)
        if context.path is not None
    }


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.api.close()
