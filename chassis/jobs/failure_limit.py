"""Pause a worker after too many failed jobs in a row, so that a bad release does not fail the whole queue."""

import time

import structlog

from chassis.observability import metrics
from contracts.jobs import Service

MAX_FAILURES_IN_A_ROW = 20

log = structlog.get_logger()


class FailureLimit:
    """Counts failed jobs of ``service`` since the last success.

    After ``MAX_FAILURES_IN_A_ROW`` the worker is paused: it may claim one job every ``retry_every_s`` seconds. A job
    that succeeds ends the pause.
    """

    def __init__(self, service: Service, *, retry_every_s: float) -> None:
        self._service = service
        self._retry_every_s = retry_every_s
        self._failures = 0
        self._retry_at = 0.0
        metrics.CONSUMER_PAUSED.labels(service).set(0)

    @property
    def paused(self) -> bool:
        return self._failures >= MAX_FAILURES_IN_A_ROW

    @property
    def retry_is_due(self) -> bool:
        """Return whether a paused worker may claim one job now. Call ``retry_began`` when it has claimed one."""
        return self.paused and time.monotonic() >= self._retry_at

    def retry_began(self) -> None:
        """Allow the next retry no sooner than ``retry_every_s`` from now."""
        self._retry_at = time.monotonic() + self._retry_every_s

    def failed(self) -> None:
        """Count a job that became a dead letter."""
        was_paused = self.paused
        self._failures += 1
        if self.paused and not was_paused:
            self.retry_began()
            metrics.CONSUMER_PAUSED.labels(self._service).set(1)
            log.critical("worker.paused", failures_in_a_row=self._failures, retry_every_s=self._retry_every_s)

    def succeeded(self) -> None:
        """Reset the count: a job succeeded."""
        if self.paused:
            metrics.CONSUMER_PAUSED.labels(self._service).set(0)
            log.warning("worker.resumed", failures_in_a_row=self._failures)
        self._failures = 0
