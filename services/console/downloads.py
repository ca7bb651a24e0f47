"""Stream files of the API to the browser."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi.responses import RedirectResponse, Response, StreamingResponse

from services.console.visit import Visit

COPIED_HEADERS = ("content-type", "content-disposition", "content-length", "repr-digest", "etag")
# The API builds a large PDF or workbook before it sends the first byte.
TIMEOUT_S = 300


async def stream_file(visit: Visit, path: str, **query: Any) -> Response:
    """Return the file at ``path`` of the API, or a redirect to the storage that holds it."""
    stack = AsyncExitStack()
    response = await stack.enter_async_context(visit.api.stream(path, timeout_s=TIMEOUT_S, **query))
    if response.is_redirect:
        await stack.aclose()
        return RedirectResponse(response.headers["location"], 303)

    async def pieces() -> AsyncIterator[bytes]:
        async with stack:
            async for piece in response.aiter_bytes():
                yield piece

    headers = {name: response.headers[name] for name in COPIED_HEADERS if name in response.headers}
    if "content-encoding" in response.headers:
        headers.pop("content-length", None)
    return StreamingResponse(pieces(), headers=headers | {"Cache-Control": "no-store"})
