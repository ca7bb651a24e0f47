"""Gauges of the age of the views, unfinished jobs and subscriptions.

They are for dashboards and alerts; workers do not use them. Every replica sets the same values, so a query takes their
maximum.
"""

import asyncio

import structlog

from chassis.errors import Contended, Unavailable
from chassis.eventstore import checkpoints
from chassis.observability import metrics
from chassis.postgres.database import Connection, Database
from contracts.jobs import Service, State
from services.maintenance import sql
from services.maintenance.placement_gauges import PlacementGauges

EVERY_S = 5.0
UNFINISHED = (State.QUEUED, State.RUNNING)

log = structlog.get_logger()


class Gauges:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._placement = PlacementGauges()

    async def run(self) -> None:
        """Set the gauges every ``EVERY_S`` seconds until cancelled."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await set_from(connection)
                    await set_subscriptions_from(connection)
                    await self._placement.set_from(connection)
            except (Unavailable, Contended) as error:
                log.warning("gauges.interrupted", reason=str(error))
            await asyncio.sleep(EVERY_S)


async def set_from(connection: Connection) -> None:
    for view in await sql.view_ages(connection):
        metrics.VIEW_STALENESS.labels(view["view_name"]).set(view["staleness_s"])
        metrics.VIEW_REFRESH_DURATION.labels(view["view_name"]).set(view["duration_s"])
        metrics.VIEW_ROWS.labels(view["view_name"]).set(view["rows"])
    unfinished = {(row["service"], row["state"]): row for row in await sql.unfinished_jobs(connection)}
    dead = await sql.dead_jobs(connection)
    for service in Service:
        metrics.DEAD_LETTERS_OPEN.labels(service).set(dead.get(service, 0))
        for state in UNFINISHED:
            row = unfinished.get((service.value, state.value))
            metrics.JOBS.labels(service, state).set(row["jobs"] if row else 0)
            metrics.JOBS_OLDEST.labels(service, state).set(row["oldest_s"] if row else 0)


async def set_subscriptions_from(connection: Connection) -> None:
    """Set the gauges of every subscription, even if no replica of its service runs."""
    measured = await checkpoints.measure(connection)
    for gauge in (metrics.SUBSCRIPTION_LAG, metrics.SUBSCRIPTION_BEHIND, metrics.SUBSCRIPTION_FAILED):
        gauge.clear()  # removes the series of deleted subscriptions
    for subscription in measured:
        metrics.SUBSCRIPTION_LAG.labels(subscription.name).set(subscription.lag_s)
        metrics.SUBSCRIPTION_BEHIND.labels(subscription.name).set(subscription.events_behind)
        metrics.SUBSCRIPTION_FAILED.labels(subscription.name).set(subscription.failed_at is not None)
