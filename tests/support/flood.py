"""A separate process that sends requests at a fixed rate from one address, whatever the responses are.

``python -m tests.support.flood`` reads a ``Flood`` as JSON from standard input and prints an ``Outcome`` as JSON.
"""

import asyncio
import base64
import json
import re
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.open_loop import post

ROOT = Path(__file__).resolve().parents[2]
# More than the API's limit of concurrent requests for one source. On each connection, responses come in order.
CONNECTIONS = 300
TICK_S = 0.01
# May be anywhere in a line, because the body of the previous response has no line end.
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
CLOSING = b"Connection: close\r\n"


@dataclass
class Flood:
    """A flood of requests. ``kind``: ``sign_in`` or ``token``.

    Each sign-in is for a different unknown account. Each token is different and has a wrong signature.
    """

    port: int
    kind: str
    source: str
    per_second: int = 500
    seconds: float = 5


@dataclass
class Outcome:
    """The result of a flood. ``rate``: how many requests per second were really sent."""

    sent: int = 0
    rate: float = 0
    statuses: dict[str, int] = field(default_factory=dict)


def _part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def token_with_wrong_signature(number: int) -> str:
    claims = {"user_id": number, "role": "HEAD", "name": "A", "email": "a@c.edu", "pwv": 0, "iat": 1, "exp": 9**10}
    return f"{_part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_part(json.dumps(claims))}.{_part(f'{number:032}')}"


def request(kind: str, number: int) -> bytes:
    headers = {
        "Authorization": f"Bearer {token_with_wrong_signature(number)}",
        "X-Forwarded-For": f"198.51.{number // 250 % 250}.{number % 250}",
    }
    if kind == "sign_in":
        body = {"email": f"{number}@made.up", "password": "x"}
        return post("/api/auth/login", body, headers).replace(CLOSING, b"")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET /api/drives HTTP/1.1\r\nHost: api\r\n{lines}\r\n".encode()


async def _count(reader: asyncio.StreamReader, statuses: dict[str, int]) -> None:
    while line := await reader.readline():
        for status in STATUS.findall(line):
            statuses[status.decode()] = statuses.get(status.decode(), 0) + 1


async def run(flood: Flood) -> Outcome:
    """Send requests for ``flood.seconds``. Later responses are not counted."""
    outcome = Outcome()
    connections = [
        await asyncio.open_connection("127.0.0.1", flood.port, local_addr=(flood.source, 0)) for _ in range(CONNECTIONS)
    ]
    counting = [asyncio.create_task(_count(reader, outcome.statuses)) for reader, _ in connections]
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < flood.seconds:
        for number in range(outcome.sent, int(passed * flood.per_second)):
            connections[number % CONNECTIONS][1].write(request(flood.kind, number))
            outcome.sent += 1
        await asyncio.sleep(TICK_S)
    outcome.rate = round(outcome.sent / (time.perf_counter() - began), 1)
    for task in counting:
        task.cancel()
    for _, writer in connections:
        writer.close()
    return outcome


@asynccontextmanager
async def flooding(flood: Flood) -> AsyncIterator[Process]:
    """Run ``flood`` in a separate process. ``outcome_of`` returns its result."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.flood", stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(flood)).encode())
    process.stdin.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def outcome_of(process: Process) -> Outcome:
    assert process.stdout is not None
    return Outcome(**json.loads(await process.stdout.read()))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(run(Flood(**json.loads(sys.stdin.read())))))))
