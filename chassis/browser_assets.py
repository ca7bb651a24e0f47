"""Serve files to browsers from memory, compressed once, at addresses that contain the hash of the content."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

IMMUTABLE = "public, max-age=31536000, immutable"
COMPRESSED = (".css", ".js", ".svg", ".txt")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file in memory. ``compressed``: the content after gzip; ``None`` if its format is already compressed."""

    content: bytes
    compressed: bytes | None
    media_type: str
    digest: str


class BrowserAssets:
    """Serve ``files`` (name to path) at ``{prefix}/{hash}/{name}``. A changed file gets a new address."""

    def __init__(self, prefix: str, files: Mapping[str, Path]) -> None:
        """Raise ``SystemExit`` with one line when a file is missing."""
        self._prefix = prefix
        self._assets = {name: _read(path) for name, path in files.items()}

    def url(self, name: str) -> str:
        """Return the address of a file. Caches may keep the response without a time limit."""
        return f"{self._prefix}/{self._assets[name].digest}/{name}"

    @property
    def route(self) -> Route:
        """Return the route that answers all addresses."""
        return Route(f"{self._prefix}/{{digest}}/{{name}}", self._answer, include_in_schema=False)

    async def _answer(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None or request.path_params["digest"] != asset.digest:
            raise HTTPException(404)
        headers = {"Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
        content = asset.content
        if asset.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content = asset.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=asset.media_type)


def _read(path: Path) -> Asset:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SystemExit(
            f"{path.name} is missing in {path.parent}: fill it with `python -m devstack assets FOLDER`"
        ) from error
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    compressed = gzip.compress(content, mtime=0) if path.suffix in COMPRESSED else None
    return Asset(content, compressed, media_type, hashlib.sha256(content).hexdigest()[:16])
