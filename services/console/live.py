"""Send the progress of a job as server-sent events. The page also polls, in case the browser loses the stream."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from fastapi.responses import StreamingResponse

from services.console.api_client import ApiAway, ApiProblem, SignInNeeded, segment
from services.console.visit import Visit

# The API sends a comment at least every 5 s, so longer silence means a lost connection.
SILENCE_S = 30
ENDED = ("succeeded", "failed", "cancelled")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
RenderJob = Callable[[dict[str, Any]], Awaitable[str]]


def follow(visit: Visit, job_id: str, render: RenderJob) -> StreamingResponse:
    """Stream an event ``progress`` with the HTML of ``render`` each time the job changes, then one event ``end``."""
    return StreamingResponse(_events(visit, job_id, render), headers=HEADERS, media_type="text/event-stream")


async def _events(visit: Visit, job_id: str, render: RenderJob) -> AsyncIterator[bytes]:
    try:
        async with visit.api.stream(f"/api/jobs/{segment(job_id)}/events", timeout_s=SILENCE_S) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                job = orjson.loads(line.removeprefix("data:"))
                yield _event("progress", await render(job))
                if job["state"] in ENDED:
                    break
    except (SignInNeeded, ApiProblem, ApiAway):
        return  # without the event `end`: the page polls on
    yield _event("end", "")


def _event(name: str, text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n".encode()
