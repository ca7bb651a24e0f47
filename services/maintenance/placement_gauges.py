"""Gauges for the people of the placement cell: drives, registrations and the funnel, as the views show them.

Gauges and not a database login for Grafana: they have a history, which the views have not, and no second door leads to
what is known of a student. A drive is named only while it is of interest, so the number of series has a limit.
"""

from datetime import datetime

import asyncpg

from chassis import telemetry
from chassis.database import Connection
from services.maintenance import sql

STATUSES = ("pending", "posted", "attending", "finished")
STAGES = ("eligible", "selected", "registered", "present")
BRANCH_STAGES = ("students", "eligible", "registered", "present")
MOST_DRIVES = 50
MOST_BRANCHES = 50


class PlacementGauges:
    def __init__(self) -> None:
        self._shown: datetime | None = None

    async def set_from(self, connection: Connection) -> None:
        """Set them anew if the views were refreshed since."""
        refreshed_at = await sql.refreshed_at(connection)
        if refreshed_at == self._shown:
            return
        by_status = await sql.drives_by_status(connection)
        totals = await sql.funnel(connection)
        newest = await sql.newest_drives(connection, MOST_DRIVES)
        branches = await sql.largest_branches(connection, MOST_BRANCHES)
        # From here without a pause: whoever scrapes sees the old or the new, never half.
        for status in STATUSES:
            telemetry.DRIVES.labels(status).set(by_status.get(status, 0))
        for stage in STAGES:
            telemetry.FUNNEL.labels(stage).set(totals[stage])
        _set_drives(newest)
        _set_branches(branches)
        self._shown = refreshed_at


def _set_drives(rows: list[asyncpg.Record]) -> None:
    telemetry.DRIVE_FUNNEL.clear()
    for row in rows:
        for stage in STAGES:
            named = (str(row["drive_id"]), row["company_name"], row["job_title"], stage)
            telemetry.DRIVE_FUNNEL.labels(*named).set(row[stage])


def _set_branches(rows: list[asyncpg.Record]) -> None:
    telemetry.BRANCH_STUDENTS.clear()
    for row in rows:
        for stage in BRANCH_STAGES:
            telemetry.BRANCH_STUDENTS.labels(row["branch"] or "unknown", stage).set(row[stage])
