"""Background task of the leading relay: add a probe to the outbox each second, and measure the outbox."""

import asyncio

import asyncpg
import structlog

from chassis.errors import Contended, Unavailable
from chassis.observability import metrics
from chassis.postgres.database import connect_alone, translated
from contracts import topics
from contracts.topics import Lane

EVERY_S = 1.0
# Adds a probe only when the last one has been sent.
PUT_PROBE = """
INSERT INTO es.outbox (lane, topic, key, extra)
SELECT $1, $2, 'probe', jsonb_build_object('sent_at', clock_timestamp())
 WHERE NOT EXISTS (SELECT FROM es.outbox WHERE topic = $2)
"""
BACKLOG = """
SELECT lane, count(*) AS depth, max(es.age_s(queued_at)) AS age_s,
       count(DISTINCT key) FILTER (WHERE quarantined_at IS NOT NULL) AS quarantined
  FROM es.outbox GROUP BY lane
"""

log = structlog.get_logger()


class OutboxWatch:
    """Adds probes and measures the outbox. It has its own connection, so that counting many rows delays no event."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self._watch()
            except (Unavailable, Contended) as error:
                log.warning("outbox_watch.interrupted", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def _watch(self) -> None:
        session = await connect_alone(self._url, application_name="placewire-relay-watch", durable=False)
        try:
            with translated(session):
                while True:
                    await session.execute(PUT_PROBE, int(topics.PROBE.lane), topics.PROBE.name)
                    await _measure(session)
                    await asyncio.sleep(EVERY_S)
        finally:
            session.terminate()


async def _measure(session: "asyncpg.Connection[asyncpg.Record]") -> None:
    rows = {row["lane"]: row for row in await session.fetch(BACKLOG)}
    for lane in Lane:
        row = rows.get(int(lane))
        metrics.OUTBOX_DEPTH.labels(lane.name.lower()).set(row["depth"] if row else 0)
        metrics.OUTBOX_AGE.labels(lane.name.lower()).set(row["age_s"] if row else 0)
    metrics.OUTBOX_QUARANTINED.set(sum(row["quarantined"] for row in rows.values()))
