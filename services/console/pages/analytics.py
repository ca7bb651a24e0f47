"""Analytics: the figures of a period, as charts and tables."""

import asyncio
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/analytics")

Deciding = Annotated[Visit, allowed(Role.HEAD, Role.COORDINATOR)]
Head = Annotated[Visit, allowed(Role.HEAD)]
PERIODS = (7, 30, 90, 365)


@router.get("")
async def analytics(visit: Deciding, days: int = 30) -> Response:
    """Return the figures of the drives that were created in the last ``days``."""
    days = days if days in PERIODS else 30
    summary, drives, registrations, attendance = await asyncio.gather(
        visit.api.get("/api/analytics/summary", days=days),
        visit.api.get("/api/analytics/drives-over-time", days=days),
        visit.api.get("/api/analytics/registrations-by-drive", days=days, limit=10),
        visit.api.get("/api/analytics/attendance-trend", days=days),
    )
    return visit.page(
        "analytics/analytics.html",
        days=days, periods=PERIODS, summary=summary, drives=drives, registrations=registrations, attendance=attendance,
    )  # fmt: skip


@router.post("/refresh")
async def refresh(visit: Head) -> Response:
    """Request a refresh of the figures."""
    form = await visit.form()
    await visit.api.send("POST", "/api/analytics/refresh", key=form.key)
    return visit.go("/console/analytics", done="refreshed")
