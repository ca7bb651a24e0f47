"""JSON over HTTP."""

from typing import Any

import orjson
from fastapi.responses import Response


def json_response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None, *, media_type: str = "application/json"
) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type=media_type)
