"""Serve the built frontend, so that a deployment on one machine needs no gateway."""

import re

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

API_PREFIXES = ("/api", "/uploads", "/internal", "/livez", "/readyz", "/metrics")

# Files that bundlers name after their content: ``index-DiwrgTda.js``, ``main.2a3b4c5d.css``.
HASHED = re.compile(r"^/(?:assets|static)/(?:.*/)?[^/]*[-.](?=[^/.]*[0-9A-Z])[A-Za-z0-9_-]{8,}\.(?:[^/]+)$")
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


class Frontend(StaticFiles):
    """Serves paths that no route matches. ``/`` and paths without a file get ``index.html``, whose script routes them.

    A path whose last part has a dot must be a file. Unknown paths below the API's prefixes get 404.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(_is_below(scope["path"], prefix) for prefix in API_PREFIXES):
            raise HTTPException(404)
        await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or "." in scope["path"].rpartition("/")[2]:
                raise
            response = await super().get_response("index.html", scope)
        response.headers["Cache-Control"] = IMMUTABLE if HASHED.match(scope["path"]) else REVALIDATE
        return response


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
