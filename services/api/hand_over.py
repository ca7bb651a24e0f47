"""Hands a job's event over to the service that owns it, by HTTP: the road beside the bus."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpx
import orjson

from chassis.database import Connection
from chassis.event_store import envelope
from chassis.identity import issue_service_token
from contracts.jobs import HAND_OVER_PATH, HandedOver, Job, Service, Via
from contracts.message import STRUCTURED, Envelope

CONNECT_TIMEOUT_S = 0.5
# To receive an event is one short transaction. A service that takes longer is hung, or as good as that.
ANSWER_TIMEOUT_S = 2.0
# How long the API then waits for the job to end.
WAIT_S = 30.0
TOO_BUSY = (429, 503)
FAILURES_TO_SKIP = 2
SKIP_S = 2.0

READ_EVENT = """
SELECT event_id, type, data, metadata, stream_id, version, recorded_at FROM es.event WHERE event_id = $1
"""


class NotHandedOver(Exception):
    """The owning service cannot be reached, or is too busy to take the job now. The job stays queued."""


class HandOverRefused(NotHandedOver):
    """The owning service was reached and did not take this one event: another may be taken all the same."""


@dataclass(slots=True)
class _Reach:
    failures: int = 0
    skip_until: float = 0.0

    def failed(self, reason: str) -> NotHandedOver:
        self.failures += 1
        if self.failures >= FAILURES_TO_SKIP:
            self.skip_until = time.monotonic() + SKIP_S
        return NotHandedOver(reason)


class Services:
    """The owning services over HTTP. One that failed twice is left alone for ``SKIP_S``: nobody waits for it."""

    def __init__(self, urls: Mapping[Service, str], secret: str) -> None:
        self._urls = urls
        self._secret = secret
        self._client = httpx.AsyncClient(
            verify=_trusted_certificates(),
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S),
            # Without a limit of its own: how many are in hand the API limits, and whoever queues for one of httpcore's
            # connections is woken again and again for each that becomes free (seen under chaos).
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
        )
        self._reach = {service: _Reach() for service in urls}

    async def close(self) -> None:
        await self._client.aclose()

    async def hand_over(self, service: Service, event: Envelope, via: Via) -> Job | None:
        """The job as it stood when the service had received it; ``None``: long done, and expired.

        Safe to repeat. Raises ``NotHandedOver``, and ``HandOverRefused`` when only this event is at fault.
        """
        reach = self._reach[service]
        if time.monotonic() < reach.skip_until:
            raise NotHandedOver(f"{service} failed a moment ago")
        try:
            answer = await self._client.post(
                self._urls[service] + HAND_OVER_PATH,
                content=orjson.dumps(event.structured()),
                headers={
                    "Content-Type": STRUCTURED,
                    "Authorization": f"Bearer {issue_service_token('api', service, self._secret)}",
                    "Placewire-Via": via,
                    **({"traceparent": event.traceparent} if event.traceparent else {}),
                },
            )
        except httpx.HTTPError as error:
            raise reach.failed(f"{service}: {type(error).__name__}") from error
        if answer.status_code in TOO_BUSY:
            raise reach.failed(f"{service} is busy")
        reach.failures = 0
        try:
            answer.raise_for_status()
            return HandedOver.model_validate_json(answer.content).job
        except (httpx.HTTPStatusError, ValueError) as error:
            raise HandOverRefused(f"{service} answered {answer.status_code}") from error


@cache
def _trusted_certificates() -> ssl.SSLContext:
    """Return the certificates that httpx trusts, read once: by itself it reads the file again for each of its parts."""
    return httpx.create_ssl_context()


async def read_envelope(connection: Connection, event_id: object) -> Envelope:
    """The event as a CloudEvent. Raises ``LookupError`` when it is not in the log."""
    row = await connection.fetchrow(READ_EVENT, event_id)
    if row is None:
        raise LookupError(event_id)
    return envelope(row)
