"""Record the newest probe that a consumer received, in a background task, so that no record waits for the database."""

import asyncio
import math
import time
from datetime import datetime

import structlog

from chassis.errors import Contended, Unavailable
from chassis.postgres.database import Database
from contracts.jobs import Service

# Keeps the newest probe. A stored time in the future is replaced, because the clock was ahead when that probe was sent.
STAMP = """
INSERT INTO es.probe AS c (service, sent_at, seen_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (service) DO UPDATE
   SET sent_at = CASE WHEN es.age_s(c.sent_at) < 'infinity' THEN greatest(c.sent_at, excluded.sent_at)
                      ELSE excluded.sent_at END,
       seen_at = excluded.seen_at
"""

log = structlog.get_logger()


class ProbeRecorder:
    """The newest probe that ``service`` received through Kafka."""

    def __init__(self, database: Database, service: Service) -> None:
        self._database = database
        self._service = service
        self._newest: datetime | None = None
        self._wake = asyncio.Event()
        self._seen_at = -math.inf

    def seen(self, sent_at: datetime) -> None:
        """Note a probe that arrived. ``run`` records it."""
        self._newest = sent_at
        self._seen_at = time.monotonic()
        self._wake.set()

    def seen_within(self, seconds: float) -> bool:
        """Return whether a probe reached this process within the last ``seconds``. Only one replica receives them."""
        return time.monotonic() - self._seen_at <= seconds

    async def run(self) -> None:
        """Record probes until cancelled. A probe that cannot be recorded is skipped; the next comes within a second."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with self._database.transaction(durable=False) as connection:
                    await connection.execute(STAMP, self._service, self._newest)
            except (Unavailable, Contended) as error:
                log.warning("probe.not_stamped", reason=str(error))
