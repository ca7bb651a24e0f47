"""Call the public API with the token of the signed-in person. The console has no other access to the system."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import orjson

# While the API restarts, a command is sent again with the same Idempotency-Key.
RETRY_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 2.0, 2.0)
READ_PAUSES_S = (0.1, 0.3)
# An import of a million students takes minutes: the API checks the file before it responds.
TIMEOUT = httpx.Timeout(600, connect=3)
REQUESTS_AT_ONCE = 32
STREAMS_AT_ONCE = 400
# Statuses of an API that is not available, after which the same request may be sent again.
UNAVAILABLE = {502, 503, 504}


class SignInNeeded(Exception):
    """Nobody is signed in, or the sign-in has ended."""


class ApiAway(Exception):
    """The API cannot be reached, or cannot reach its database.

    ``message``: the text of its response, if any. ``may_be_saved``: a command was sent, and its result is unknown.
    """

    def __init__(self, message: str = "", *, may_be_saved: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.may_be_saved = may_be_saved


@dataclass
class ApiProblem(Exception):
    """The API refused the request. ``errors``: what is wrong with which field or row."""

    status: int
    message: str
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def by_field(self) -> dict[str, str]:
        """Return the message of each field, by the field's name."""
        messages: dict[str, str] = {}
        for error in self.errors:
            name = str(error.get("field") or error.get("name") or error.get("column") or "")
            if name:
                messages.setdefault(name, str(error.get("message") or error.get("reason") or self.message))
        return messages

    @property
    def key_was_used(self) -> bool:
        """Return whether a form with other values was sent before with the same Idempotency-Key."""
        return self.status == 422 and self.message.startswith("This Idempotency-Key")


class ApiConnections:
    """The connections of the process to the API.

    A request waits for one of ``REQUESTS_AT_ONCE`` turns before it reaches the pool: the pool of httpx looks at every
    connection and every waiting request whenever one ends, so a thousand waiting requests would block the event loop.
    """

    def __init__(self, base_url: str) -> None:
        self.turns = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self.http = _client(base_url, REQUESTS_AT_ONCE)
        # Streams last for minutes, so they have connections of their own.
        self.streams = _client(base_url, STREAMS_AT_ONCE)

    async def close(self) -> None:
        await self.http.aclose()
        await self.streams.aclose()


def _client(base_url: str, connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=min(connections, REQUESTS_AT_ONCE))
    return httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT, limits=limits)


@dataclass(frozen=True, slots=True)
class ApiClient:
    """``headers``: the person's token and address, and the correlation id."""

    connections: ApiConnections
    headers: Mapping[str, str]

    async def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET. ``query``: its parameters. Those that are ``None`` or empty are left out.

        Raises ``SignInNeeded``, ``ApiProblem`` or ``ApiAway``.
        """
        present = {name: value for name, value in query.items() if value not in (None, "")}
        response = await self._send("GET", path, READ_PAUSES_S, params=present)
        return response.json()

    async def send(self, method: str, path: str, *, key: str | None = None, **body: Any) -> Any:
        """Send a command and return the JSON of its response. ``key``: its Idempotency-Key.

        With a key, the command is sent again while the API cannot be reached, and still takes effect once. Raises what
        ``get`` raises.
        """
        headers = {"Idempotency-Key": key} if key else {}
        response = await self._send(method, path, RETRY_PAUSES_S if key else (), headers=headers, **body)
        return response.json() if response.content else None

    @asynccontextmanager
    async def stream(self, path: str, *, timeout_s: float = 60, **query: Any) -> AsyncIterator[httpx.Response]:
        """Open a GET whose body the caller reads piece by piece. Raises what ``get`` raises."""
        try:
            request = self.connections.streams.build_request(
                "GET", path, headers=dict(self.headers), params=query or None, timeout=httpx.Timeout(timeout_s)
            )
            response = await self.connections.streams.send(request, stream=True)
        except httpx.TransportError as error:
            raise ApiAway from error
        try:
            if response.status_code >= 400:
                await response.aread()
                _require_success(response)
            yield response
        finally:
            await response.aclose()

    async def rows(
        self, path: str, *, skip: int = 0, take: int = 0, matches: Callable[[dict[str, Any]], bool] | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """Return up to ``take`` rows of a long list after the first ``skip`` that match, and how many match.

        The API writes one row per line. Only the returned rows are held in memory.
        """
        rows: list[dict[str, Any]] = []
        count = 0
        async with self.stream(path) as response:
            async for line in response.aiter_lines():
                text = line.strip().lstrip("[,").removesuffix("]").rstrip(",")
                if not text:
                    continue
                shown = skip <= count < skip + take
                row = orjson.loads(text) if matches or shown else None
                if matches and row is not None and not matches(row):
                    continue
                if shown and row is not None:
                    rows.append(row)
                count += 1
        return rows, count

    async def _send(self, method: str, path: str, pauses_s: tuple[float, ...], **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        for pause_s in (*pauses_s, None):
            try:
                async with self.connections.turns:
                    response = await self.connections.http.request(method, path, headers=headers, **options)
            except httpx.TransportError as error:
                if pause_s is None:
                    raise ApiAway(may_be_saved=method != "GET") from error
            else:
                if response.status_code not in UNAVAILABLE or pause_s is None:
                    _require_success(response)
                    return response
            await asyncio.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


def _require_success(response: httpx.Response) -> None:
    if response.status_code < 400:
        return
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    message = str(problem.get("message") or response.reason_phrase)
    if response.status_code == 401:
        raise SignInNeeded(message)
    if response.status_code in UNAVAILABLE:
        raise ApiAway(message)
    raise ApiProblem(response.status_code, message, problem.get("errors") or [])


async def few_at_a_time(calls: Iterable[Awaitable[Any]], *, at_once: int = 8) -> None:
    """Await all ``calls``, at most ``at_once`` at the same time. Then raise the first error, if any."""
    semaphore = asyncio.Semaphore(at_once)

    async def one(call: Awaitable[Any]) -> None:
        async with semaphore:
            await call

    results = await asyncio.gather(*map(one, calls), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def segment(text: object) -> str:
    """Return ``text`` encoded as one segment of a path."""
    return quote(str(text), safe="")
