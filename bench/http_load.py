"""A cheap HTTP client: keep-alive HTTP/1.1 on plain sockets, so that a bench measures the server and not the client."""

import asyncio
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from devstack.ports import LOOPBACK

NO_BODY = (204, 304)
WITHIN_S = 300


def request(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a request without a body."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {LOOPBACK}", *(f"{name}: {value}" for name, value in headers.items())]
    if method != "GET":
        lines.append("Content-Length: 0")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@dataclass(slots=True)
class Answers:
    """The responses. ``took_s``: first request to last response. ``latencies_s``: each request to its response."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.took_s

    @property
    def p99_s(self) -> float:
        return statistics.quantiles(self.latencies_s, n=100, method="inclusive")[98]

    def require_statuses(self, *statuses: int) -> "Answers":
        """Return ``self``. Raises ``AssertionError`` for a response with another status, which voids the result."""
        assert set(self.statuses) <= set(statuses), f"unexpected statuses: {dict(self.statuses)}"
        return self


async def load(port: int, requests: Sequence[bytes], *, at_once: int) -> Answers:
    """Send ``requests`` over ``at_once`` connections. A connection sends the next one after the response to the last.

    Raises ``TimeoutError`` after ``WITHIN_S``, because the server hangs.
    """
    answers = Answers()
    remaining = iter(requests)
    connections = [await asyncio.open_connection(LOOPBACK, port) for _ in range(min(at_once, len(requests)))]
    began = perf_counter()
    try:
        async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as tasks:
            for reader, writer in connections:
                tasks.create_task(_send_in_turn(reader, writer, remaining, answers))
    finally:
        for _, writer in connections:
            writer.close()
    answers.took_s = perf_counter() - began
    return answers


async def ask(port: int, request_: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send one request. Return status, headers by lower-case name, and body of the response."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(request_)
        return await _response(reader)
    finally:
        writer.close()


async def _send_in_turn(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Iterator[bytes], answers: Answers
) -> None:
    for request_ in requests:
        began = perf_counter()
        writer.write(request_)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        if status not in NO_BODY and (length := _length(head)):
            await reader.readexactly(length)
        answers.latencies_s.append(perf_counter() - began)
        answers.statuses[status] += 1


def _length(head: bytes) -> int:
    """Return the Content-Length. Raises ``ValueError`` for a response without one."""
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    return int(lower[at : lower.index(b"\r\n", at)])


async def _response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(_length(head)) if status not in NO_BODY else b""
    return status, headers, body
