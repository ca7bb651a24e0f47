"""Decide whether Kafka wakes the workers of a service, or the API must call them by HTTP. Sampled 4 times a second."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from chassis.errors import Contended, Unavailable
from chassis.observability import metrics
from chassis.postgres.database import Database
from contracts.jobs import Service

POLL_S = 0.25
GOOD_POLLS_TO_CLOSE = 8
MAX_PROBE_AGE_S = 3.0
MAX_OUTBOX_AGE_S = 2.0

# Index scan for the first row that the relay would send (1.3 ms with 500 rows of a quarantined key before it and
# 100,000 after it). Only the jobs lane counts, because rows of the bulk lane delay no job.
SAMPLE = """
SELECT s.service,
       es.age_s(c.sent_at) AS probe_age_s,
       es.age_s(
           (SELECT queued_at FROM es.outbox o WHERE lane = 0 AND quarantined_at IS NULL
               AND NOT EXISTS (SELECT FROM es.outbox q
                                WHERE q.key = o.key AND q.topic = o.topic AND q.quarantined_at IS NOT NULL)
             ORDER BY id LIMIT 1)) AS outbox_age_s
  FROM unnest($1::text[]) AS s (service) LEFT JOIN es.probe c ON c.service = s.service
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of Kafka for one consumer. ``None``: no probe was ever received; no row is waiting in the outbox.

    An age is infinite when its timestamp is in the future, because the clock was ahead. It counts as old.
    """

    probe_age_s: float | None
    outbox_age_s: float | None

    @property
    def good(self) -> bool:
        return (
            self.probe_age_s is not None
            and self.probe_age_s <= MAX_PROBE_AGE_S
            and (self.outbox_age_s or 0) <= MAX_OUTBOX_AGE_S
        )


class Breaker:
    """A circuit breaker. One bad sample opens it; ``GOOD_POLLS_TO_CLOSE`` good ones in a row close it.

    The first sample alone decides. So a process that starts while Kafka is healthy uses Kafka at once.
    """

    def __init__(self) -> None:
        self.open = True
        self._good_in_a_row = GOOD_POLLS_TO_CLOSE - 1

    def observe(self, sample: Sample) -> None:
        self._good_in_a_row = self._good_in_a_row + 1 if sample.good else 0
        if not sample.good:
            self.open = True
        elif self._good_in_a_row >= GOOD_POLLS_TO_CLOSE:
            self.open = False


class CircuitBreakers:
    """The breakers of all services, updated from the database. No request ever waits for Kafka."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._breakers: Mapping[Service, Breaker] = {service: Breaker() for service in Service}

    def is_closed(self, service: Service) -> bool:
        return not self._breakers[service].open

    def states(self) -> dict[str, str]:
        return {service.value: "open" if breaker.open else "closed" for service, breaker in self._breakers.items()}

    async def run(self) -> None:
        """Sample until cancelled. While the database is away, the states stay; commands fail then in any case."""
        while True:
            try:
                await self.look()
            except (Unavailable, Contended):
                log.debug("breaker.cannot_look")
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        async with self._database.connection() as connection:
            rows = await connection.fetch(SAMPLE, list(self._breakers))
        for row in rows:
            breaker = self._breakers[Service(row["service"])]
            before = breaker.open
            breaker.observe(Sample(row["probe_age_s"], row["outbox_age_s"]))
            metrics.BREAKER_OPEN.labels(row["service"]).set(breaker.open)
            probe_age_s = math.inf if row["probe_age_s"] is None else row["probe_age_s"]
            metrics.PROBE_AGE.labels(row["service"]).set(probe_age_s)
            if breaker.open != before:
                log.warning("breaker.opened" if breaker.open else "breaker.closed", of=row["service"])
