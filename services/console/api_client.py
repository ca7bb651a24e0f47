"""The public API as one signed-in person sees it. The console reaches the system in no other way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import orjson

# A command is sent again with the same Idempotency-Key while the API restarts.
RETRY_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 2.0, 2.0)
READ_PAUSES_S = (0.1, 0.3)
# What says that nothing was done, or that the same request may be sent again.
TRY_AGAIN = {502, 503, 504}


class SignInNeeded(Exception):
    """The person is not signed in, or no longer."""


class ApiAway(Exception):
    """The API cannot be reached or has no database. ``status`` of its answer, if it gave one."""

    def __init__(self, message: str = "", *, may_be_saved: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.may_be_saved = may_be_saved


@dataclass
class ApiProblem(Exception):
    """The API refused the request. ``errors``: what is wrong where."""

    status: int
    message: str
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def by_field(self) -> dict[str, str]:
        """Return the message of each field, by the field's name."""
        found: dict[str, str] = {}
        for one in self.errors:
            name = str(one.get("field") or one.get("name") or one.get("column") or "")
            if name:
                found.setdefault(name, str(one.get("message") or one.get("reason") or self.message))
        return found

    @property
    def key_was_used(self) -> bool:
        """Whether the form was sent before with other values under the same Idempotency-Key."""
        return self.status == 422 and self.message.startswith("This Idempotency-Key")


@dataclass(frozen=True, slots=True)
class ApiClient:
    """``http``: the connections of the process. ``headers``: the person's token, the correlation id, their address."""

    http: httpx.AsyncClient
    headers: Mapping[str, str]

    async def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET. ``query``: parameters; ``None`` and empty ones are left out.

        Raises ``SignInNeeded``, ``ApiProblem`` or ``ApiAway``.
        """
        present = {name: value for name, value in query.items() if value not in (None, "")}
        response = await self._send("GET", path, READ_PAUSES_S, params=present)
        return response.json()

    async def send(self, method: str, path: str, *, key: str | None = None, **body: Any) -> Any:
        """Execute a command once, however often it is sent: ``key`` is its Idempotency-Key. Return the JSON.

        While the API cannot be reached it is sent again, with the same key. Raises as ``get`` does.
        """
        headers = {"Idempotency-Key": key} if key else {}
        response = await self._send(method, path, RETRY_PAUSES_S if key else (), headers=headers, **body)
        return response.json() if response.content else None

    @asynccontextmanager
    async def stream(self, path: str, *, timeout_s: float = 60, **query: Any) -> AsyncIterator[httpx.Response]:
        """Open a GET whose body is read piece by piece. Raises as ``get`` does."""
        try:
            request = self.http.build_request(
                "GET", path, headers=dict(self.headers), params=query or None, timeout=httpx.Timeout(timeout_s)
            )
            response = await self.http.send(request, stream=True)
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
        """Return ``take`` rows of a long list after the first ``skip`` that match, and how many match.

        The API writes one row per line. Rows that are not shown are not kept; without ``matches`` they are not parsed.
        """
        found: list[dict[str, Any]] = []
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
                    found.append(row)
                count += 1
        return found, count

    async def count_rows(self, path: str) -> int:
        """Return how many rows a long list has."""
        return (await self.rows(path))[1]

    async def _send(self, method: str, path: str, pauses_s: tuple[float, ...], **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        for pause_s in (*pauses_s, None):
            try:
                response = await self.http.request(method, path, headers=headers, **options)
            except httpx.TransportError as error:
                if pause_s is None:
                    raise ApiAway(may_be_saved=method != "GET") from error
            else:
                if response.status_code not in TRY_AGAIN or pause_s is None:
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
    if response.status_code in TRY_AGAIN:
        raise ApiAway(message)
    raise ApiProblem(response.status_code, message, problem.get("errors") or [])


async def few_at_a_time(calls: Iterable[Awaitable[Any]], *, at_once: int = 8) -> None:
    """Await all ``calls``, at most ``at_once`` together. Then raise the first error, if one failed."""
    turns = asyncio.Semaphore(at_once)

    async def one(call: Awaitable[Any]) -> None:
        async with turns:
            await call

    results = await asyncio.gather(*map(one, calls), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def segment(text: object) -> str:
    """Return ``text`` as one segment of a path."""
    return quote(str(text), safe="")
