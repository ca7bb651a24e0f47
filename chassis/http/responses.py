"""Parts of HTTP responses: JSON bodies, and the Content-Disposition header."""

import re
from typing import Any, Literal
from urllib.parse import quote

import orjson
from fastapi.responses import Response

# Characters that need no encoding in a parameter (RFC 8187, attr-char).
ATTRIBUTE_SAFE = "!#$&+.^_`|~-"
UNSAFE = re.compile(r"[^A-Za-z0-9!#$&+.^_`|~-]")


def json_response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None, *, media_type: str = "application/json"
) -> Response:
    """Return ``body`` as JSON."""
    return Response(orjson.dumps(body), status, headers, media_type=media_type)


def content_disposition(name: str, disposition: Literal["attachment", "inline"] = "attachment") -> str:
    """Return the Content-Disposition for the file name ``name``, in any script (RFC 6266, section 4.3)."""
    plain = UNSAFE.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe=ATTRIBUTE_SAFE)}"
    return f'{disposition}; filename="{plain}"{extended}'
