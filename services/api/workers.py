"""Wake the worker of a service by HTTP when Kafka is not available."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from uuid import UUID

import httpx

from chassis.observability import tracing
from chassis.tokens import issue_service_token
from contracts.jobs import RUN_PATH, Service

CONNECT_TIMEOUT_S = 0.5
# The endpoint only wakes the worker, so a service that takes longer counts as failed.
ANSWER_TIMEOUT_S = 2.0
# How long the API waits for the job to end after waking the worker.
WAIT_S = 30.0
FAILURES_TO_SKIP = 2
SKIP_S = 2.0


class NotAwake(Exception):
    """The service cannot be reached, or its worker has paused. The job stays queued."""


@dataclass(slots=True)
class _Endpoint:
    failures: int = 0
    skip_until: float = 0.0

    def failed(self, reason: str) -> NotAwake:
        self.failures += 1
        if self.failures >= FAILURES_TO_SKIP:
            self.skip_until = time.monotonic() + SKIP_S
        return NotAwake(reason)


class Workers:
    """Calls the services' workers over HTTP. A service that failed twice is not called for ``SKIP_S`` seconds."""

    def __init__(self, urls: Mapping[Service, str], secret: str) -> None:
        self._urls = urls
        self._secret = secret
        self._client = httpx.AsyncClient(
            verify=_trusted_certificates(),
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S),
            # No limit here, because the API limits its requests. With a limit, httpcore wakes every queued caller for
            # each connection that becomes free. Under load that wastes time.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
        )
        self._endpoints = {service: _Endpoint() for service in urls}

    async def close(self) -> None:
        await self._client.aclose()

    async def wake(self, service: Service, job_id: UUID) -> None:
        """Wake a worker of ``service`` for the job. Safe to repeat. Raises ``NotAwake``."""
        endpoint = self._endpoints[service]
        if time.monotonic() < endpoint.skip_until:
            raise NotAwake(f"{service} failed a moment ago")
        headers = {"Authorization": f"Bearer {issue_service_token('api', service, self._secret)}"}
        if (traceparent := tracing.traceparent()) is not None:
            headers["traceparent"] = traceparent
        try:
            response = await self._client.post(self._urls[service] + RUN_PATH.format(job_id=job_id), headers=headers)
        except httpx.HTTPError as error:
            raise endpoint.failed(f"{service}: {type(error).__name__}") from error
        if response.status_code != 202:
            raise endpoint.failed(f"{service} answered {response.status_code}")
        endpoint.failures = 0


@cache
def _trusted_certificates() -> ssl.SSLContext:
    """Return the certificates that httpx trusts. Read once, because httpx would read the file for each transport."""
    return httpx.create_ssl_context()
