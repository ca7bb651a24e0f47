"""Hands over by HTTP what the bus did not bring: every job that has been queued for too long, oldest first."""

import asyncio

import asyncpg
import structlog

from chassis import telemetry
from chassis.errors import Unavailable
from chassis.leadership import leading
from contracts.jobs import Service, Via
from services.api.hand_over import HandOverRefused, NotHandedOver, Services, read_envelope

SWEEP_LOCK = 7_461_923_003
EVERY_S = 1.0
QUEUED_FOR_S = 5.0
AT_A_TIME = 200

# One index scan of job_unfinished for each service, in order, which ends where it has enough.
OVERDUE = """
SELECT overdue.id, overdue.seq, s.service
  FROM unnest($2::text[]) AS s (service) CROSS JOIN LATERAL (
       SELECT id, seq FROM es.job j
        WHERE j.service = s.service AND j.finished_at IS NULL AND j.state = 'queued'
          AND es.age_s(j.queued_at) > $1 AND j.seq > $4
        ORDER BY j.seq LIMIT $3) AS overdue
 ORDER BY overdue.seq LIMIT $3
"""

log = structlog.get_logger()


class Sweep:
    """Every API replica runs one; a session's advisory lock chooses the one that works."""

    def __init__(self, database_url: str, services: Services) -> None:
        self._url = database_url
        self._services = services
        for service in Service:
            telemetry.SWEPT.labels(service)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self._lead()
            except Unavailable as error:
                log.warning("sweep.interrupted", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def _lead(self) -> None:
        async with leading(self._url, SWEEP_LOCK, application_name="placewire-sweep", try_every_s=EVERY_S) as session:
            while True:
                await self.once(session)
                await asyncio.sleep(EVERY_S)

    async def once(self, session: "asyncpg.Connection[asyncpg.Record]") -> int:
        """Hand over what is overdue, oldest first, until each service has nothing left or cannot be reached.

        A job that its service refuses is passed over, and tried again in the next round. Returns how many were taken.
        """
        taken = 0
        reachable = set(Service)
        after = 0
        while reachable:
            rows = await session.fetch(OVERDUE, QUEUED_FOR_S, list(reachable), AT_A_TIME, after)
            if not rows:
                break
            for row in rows:
                service, after = Service(row["service"]), row["seq"]
                if service not in reachable:
                    continue
                try:
                    await self._hand_over(session, service, row["id"])
                    taken += 1
                except HandOverRefused as error:
                    log.error("sweep.refused", of=service, job_id=str(row["id"]), reason=str(error))
                except NotHandedOver as error:
                    log.info("sweep.unreachable", of=service, reason=str(error))
                    reachable.discard(service)
        return taken

    async def _hand_over(self, session: "asyncpg.Connection[asyncpg.Record]", service: Service, job_id: object) -> None:
        await self._services.hand_over(service, await read_envelope(session, job_id), Via.SWEEP)
        telemetry.SWEPT.labels(service).inc()
