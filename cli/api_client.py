"""The command's client for the public API."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from cli.failures import NO, UNREACHABLE, WRONG_USE, Failure

# The API checks or writes up to a million rows before the first byte of the response.
ANSWER_TIMEOUT_S = 3600.0
CONNECT_TIMEOUT_S = 5.0
# The API sends a comment at least every 15 s. A stream that is silent for this long counts as lost.
SILENT_FOR_S = 40.0
RECONNECTS = 20
RECONNECT_PAUSE_S = 0.5

Job = dict[str, Any]


class ApiError(Failure):
    """The API returned an error. ``errors``: the list of invalid fields or rows in the response, if any."""

    def __init__(self, status: int, message: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(message, {401: WRONG_USE, 503: UNREACHABLE}.get(status, NO))
        self.status = status
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``took_s``: the duration of the whole request."""

    body: Any
    status: int
    took_s: float


class Api:
    """A client for one caller. Every method raises ``ApiError`` when the API returns an error."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def signed_in(self, email: str, password: str) -> "Api":
        """Return a client for the same API with the token of another caller."""
        answer = self.post("/api/auth/login", json={"email": email, "password": password})
        return Api(self.url, answer.body["token"])

    def get(self, path: str) -> Any:
        return self.request("GET", path).body

    def raw(self, path: str) -> bytes:
        response = self._client.get(path)
        _require_success(response)
        return response.content

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Answer:
        return self.request("PATCH", path, **options)

    def request(self, method: str, path: str, **options: Any) -> Answer:
        began = time.perf_counter()
        response = self._client.request(method, path, **options)
        _require_success(response)
        return Answer(response.json(), response.status_code, time.perf_counter() - began)

    def import_students(
        self, path: Path, *, dry_run: bool, fields: Mapping[str, str], sent: Callable[[int], None]
    ) -> Answer:
        """Upload a file of students, with ``fields`` as further form fields.

        ``sent`` is called with the number of bytes read so far.
        """
        with path.open("rb") as content:
            return self.post(
                f"/api/students/import?dry_run={str(dry_run).lower()}",
                files={"file": (path.name, _Watched(content, sent))},
                data=dict(fields) or None,
            )

    def follow(self, job_id: str) -> Iterator[Job]:
        """Yield the job each time it changes, until it has ended. Reconnects when the stream is lost."""
        failures = 0
        while True:
            try:
                for job in self._stream(job_id):
                    yield job
                    if job["finished_at"] is not None:
                        return
            except httpx.TransportError:
                failures += 1
                if failures > RECONNECTS:
                    raise
            time.sleep(RECONNECT_PAUSE_S)

    def _stream(self, job_id: str) -> Iterator[Job]:
        timeout = httpx.Timeout(SILENT_FOR_S, connect=CONNECT_TIMEOUT_S)
        with self._client.stream("GET", f"/api/jobs/{job_id}/events", timeout=timeout) as response:
            if response.is_error:
                response.read()
            _require_success(response)
            for name, data in server_sent(response.iter_lines()):
                if name == "job":
                    yield json.loads(data)


def server_sent(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the events of a stream as ``(name, data)``.

    Source: HTML Living Standard, section 9.2.6 (id and retry are not used here).
    """
    name, data = "message", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _require_success(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        problem = response.json()
    except ValueError:
        problem = None
    body: Mapping[str, Any] = problem if isinstance(problem, dict) else {}
    message = str(body.get("message") or f"HTTP {response.status_code} from {response.request.url}")
    raise ApiError(response.status_code, message, list(body.get("errors") or []))


class _Watched:
    """A file that reports how many bytes have been read."""

    def __init__(self, content: BinaryIO, progress: Callable[[int], None]) -> None:
        self._content = content
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        block = self._content.read(size)
        self._progress(self._content.tell())
        return block

    def fileno(self) -> int:
        return self._content.fileno()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._content.seek(offset, whence)

    def tell(self) -> int:
        return self._content.tell()

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(64 * 1024):
            yield block
