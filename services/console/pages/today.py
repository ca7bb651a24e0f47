"""The start page of each role: what needs attention now."""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.navigation import DECIDING
from services.console.visit import SignedIn, Visit

router = APIRouter(prefix="/console")

SHOWN = 5


@router.get("/today")
async def today(visit: SignedIn) -> Response:
    """Return the start page of the person's role."""
    if visit.is_any(Role.STUDENT):
        return await _student(visit)
    return await _office(visit)


async def _office(visit: Visit) -> Response:
    calls = [visit.api.get("/api/drives"), visit.api.get("/api/notifications/mine", limit=SHOWN)]
    if visit.is_any(Role.HEAD):
        calls.append(visit.api.get("/api/dead-letters", limit=SHOWN))
    drives, notifications, *rest = await asyncio.gather(*calls)
    return visit.page(
        "today/office.html",
        counts=Counter(drive["status"] for drive in drives),
        drafts=_with_status(drives, "pending")[:SHOWN],
        open_drives=_with_status(drives, "posted")[:SHOWN],
        attendance=_with_status(drives, "attending")[:SHOWN],
        interviews=_next_interviews(visit, drives),
        notifications=notifications["items"],
        unread=notifications["unread_count"],
        dead_letters=rest[0] if rest else [],
        decides=visit.person.role in DECIDING,
    )


async def _student(visit: Visit) -> Response:
    open_drives, registrations, notifications = await asyncio.gather(
        visit.api.get("/api/eligibility/mine"),
        visit.api.get("/api/registrations/mine"),
        visit.api.get("/api/notifications/mine", limit=SHOWN),
    )
    registered = {registration["drive_id"] for registration in registrations}
    return visit.page(
        "today/student.html",
        open_drives=[drive for drive in open_drives if drive["drive_id"] not in registered],
        registrations=registrations,
        notifications=notifications["items"],
        unread=notifications["unread_count"],
    )


def _with_status(drives: list[dict[str, Any]], status: str) -> list[dict[str, Any]]:
    return [drive for drive in drives if drive["status"] == status]


def _next_interviews(visit: Visit, drives: list[dict[str, Any]]) -> list[dict[str, Any]]:
    day = datetime.now(visit.zone).date().isoformat()
    planned = [drive for drive in drives if (drive["interview_date"] or "")[:10] >= day]
    return sorted(planned, key=lambda drive: str(drive["interview_date"]))[:SHOWN]
