"""Gauges for the staff of the placement cell: drives, registrations and the funnel, as in the materialized views.

Gauges are used instead of SQL queries from Grafana, because they have a history, and because Grafana then needs no
access to students' data. Only the newest unfinished drives have series of their own, which limits their number.
"""

from datetime import datetime

import asyncpg

from chassis.observability import metrics
from chassis.postgres.database import Connection
from services.maintenance import sql

STATUSES = ("pending", "posted", "attending", "finished")
STAGES = ("eligible", "selected", "registered", "present")
BRANCH_STAGES = ("students", "eligible", "registered", "present")
MAX_DRIVES = 50
MAX_BRANCHES = 50


class PlacementGauges:
    def __init__(self) -> None:
        self._shown: datetime | None = None

    async def set_from(self, connection: Connection) -> None:
        """Set the gauges if the views were refreshed since the last call."""
        refreshed_at = await sql.refreshed_at(connection)
        if refreshed_at == self._shown:
            return
        by_status = await sql.drives_by_status(connection)
        totals = await sql.funnel(connection)
        newest = await sql.newest_drives(connection, MAX_DRIVES)
        branches = await sql.largest_branches(connection, MAX_BRANCHES)
        # No await from here on, so a scrape sees either the old or the new values.
        for status in STATUSES:
            metrics.DRIVES.labels(status).set(by_status.get(status, 0))
        for stage in STAGES:
            metrics.FUNNEL.labels(stage).set(totals[stage])
        _set_drives(newest)
        _set_branches(branches)
        self._shown = refreshed_at


def _set_drives(rows: list[asyncpg.Record]) -> None:
    metrics.DRIVE_FUNNEL.clear()
    for row in rows:
        for stage in STAGES:
            labels = (str(row["drive_id"]), row["company_name"], row["job_title"], stage)
            metrics.DRIVE_FUNNEL.labels(*labels).set(row[stage])


def _set_branches(rows: list[asyncpg.Record]) -> None:
    metrics.BRANCH_STUDENTS.clear()
    for row in rows:
        for stage in BRANCH_STAGES:
            metrics.BRANCH_STUDENTS.labels(row["branch"] or "unknown", stage).set(row[stage])
