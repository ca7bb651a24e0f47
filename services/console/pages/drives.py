"""The list of drives, with filters in its address. Students see their verdict for each."""

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.visit import SignedIn, Visit

router = APIRouter(prefix="/console/drives")

STATUSES = ("pending", "posted", "attending", "finished")
PAGE = 50
# Each verdict is a request to the API.
MOST_VERDICTS = 60


@router.get("")
async def drives(visit: SignedIn, status: str = "", search: str = "", start: int = 0) -> Response:
    """Return the drives that match the filters, newest first."""
    everything = await visit.api.get("/api/drives")
    found = [drive for drive in everything if _matches(drive, status, search)]
    start = max(0, start)
    shown = found[start : start + PAGE]
    query = {"status": status, "search": search}
    values: dict[str, Any] = {
        "drives": shown,
        "count": len(found),
        "status": status,
        "search": search,
        "filtered": bool(status or search),
        "first": query if start else None,
        "next": {**query, "start": start + PAGE} if len(found) > start + PAGE else None,
    }
    if visit.is_any(Role.STUDENT):
        return visit.page("drives/for_student.html", **values, **await _verdicts(visit, shown))
    statuses = STATUSES if visit.is_any(Role.HEAD, Role.COORDINATOR) else STATUSES[1:]
    return visit.page("drives/list.html", **values, statuses=statuses)


def _matches(drive: dict[str, Any], status: str, search: str) -> bool:
    text = f"{drive['company_name']} {drive['job_title']} {drive['domain_name'] or ''}".casefold()
    return (not status or drive["status"] == status) and search.strip().casefold() in text


async def _verdicts(visit: Visit, drives: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the verdict for each open drive, and the drives that the student is registered for."""
    posted = [drive["drive_id"] for drive in drives if drive["status"] == "posted"][:MOST_VERDICTS]
    registrations, *verdicts = await asyncio.gather(
        visit.api.get("/api/registrations/mine"),
        *(visit.api.get(f"/api/eligibility/{drive_id}/check") for drive_id in posted),
    )
    return {
        "registered": {one["drive_id"]: one for one in registrations},
        "verdicts": dict(zip(posted, verdicts, strict=True)),
    }
