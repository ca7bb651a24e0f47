"""An open-loop client: it sends requests at a fixed rate, whatever the responses are, each on a new connection."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from devstack.ports import LOOPBACK

GIVE_UP_S = 20


@dataclass
class Outcomes:
    """The responses. ``statuses``: how many of each status; 0 stands for no response.

    ``unanswered``: how often each error was the reason for no response. ``accepted``: the bodies of 2xx responses.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    without_retry_after: int = 0


async def offered(port: int, requests: list[bytes], *, per_second: float) -> Outcomes:
    """Send ``per_second`` of ``requests`` each second, and return when all have ended.

    Each request is complete and has ``Connection: close``.
    """
    outcomes = Outcomes()
    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.TaskGroup() as tasks:
        for number, request in enumerate(requests):
            if (pause := began + number / per_second - clock()) > 0:
                await asyncio.sleep(pause)
            tasks.create_task(_send(port, request, outcomes))
    return outcomes


async def _send(port: int, request: bytes, outcomes: Outcomes) -> None:
    try:
        async with asyncio.timeout(GIVE_UP_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request)
                answer = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        outcomes.unanswered[type(error).__name__] += 1
        answer = b""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head[9:12] or 0)
    outcomes.statuses[status] += 1
    if 200 <= status < 300:
        outcomes.accepted.append(json.loads(body))
    elif status == 503 and b"retry-after:" not in head.lower():
        outcomes.without_retry_after += 1


def post(path: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {LOOPBACK}", "Connection: close", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content
