"""Serve Swagger UI at ``/api/docs``, with assets of this server, so that it works without internet access."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response

from chassis.browser_assets import BrowserAssets

PATH = "/api/docs"
SCRIPT, STYLE = "swagger-ui-bundle.js", "swagger-ui.css"
NO_ICON = "data:,"


def install(app: FastAPI, folder: Path) -> None:
    """Serve the page with the assets in ``folder``. Raise ``SystemExit`` when they are missing."""
    assets = BrowserAssets(f"{PATH}/assets", {name: folder / name for name in (SCRIPT, STYLE)})
    app.router.routes.append(assets.route)

    @app.get(PATH, include_in_schema=False)
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=f"{app.title}: API",
            swagger_js_url=assets.url(SCRIPT),
            swagger_css_url=assets.url(STYLE),
            swagger_favicon_url=NO_ICON,
        )
