"""One drive: its posting and criteria, who is eligible, and its history. Students see their verdict."""

import asyncio
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.downloads import stream_file
from services.console.visit import SignedIn, Visit, allowed

router = APIRouter(prefix="/console/drives/{drive_id:int}")

Deciding = Annotated[Visit, allowed(Role.HEAD, Role.COORDINATOR)]
Office = Annotated[Visit, allowed(Role.HEAD, Role.COORDINATOR, Role.STAFF)]
PAGE = 100


@router.get("")
async def drive_page(visit: SignedIn, drive_id: int) -> Response:
    """Return the overview."""
    if visit.is_any(Role.STUDENT):
        return await _for_student(visit, drive_id)
    drive = await visit.api.get(f"/api/drives/{drive_id}")
    if not visit.is_any(Role.HEAD, Role.COORDINATOR):
        return visit.page("drive/overview.html", drive=drive, evaluation=None, registered=None, tab="overview")
    eligibility, registered = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}/eligibility", limit=1), registered_count(visit, drive_id)
    )
    return visit.page(
        "drive/overview.html", drive=drive, evaluation=eligibility["evaluation"], registered=registered, tab="overview"
    )


async def registered_count(visit: Visit, drive_id: int) -> int:
    """Return how many students are registered."""
    counted = await visit.api.get(f"/api/registrations/{drive_id}/count")
    return int(counted["registered"])


async def _for_student(visit: Visit, drive_id: int) -> Response:
    drive, verdict, registered = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"),
        visit.api.get(f"/api/eligibility/{drive_id}/check"),
        visit.api.get(f"/api/registrations/{drive_id}/check"),
    )
    try:
        explanation = await visit.api.get(f"/api/eligibility/{drive_id}/explain")
    except ApiProblem:  # not published, or before the student was enrolled
        explanation = None
    return visit.page(
        "drive/for_student.html",
        drive=drive, verdict=verdict, registered=registered["registered"], explanation=explanation,
    )  # fmt: skip


@router.get("/eligible")
async def eligible(visit: Deciding, drive_id: int, after: int = 0) -> Response:
    """Return the students who meet the criteria now, a page at a time."""
    drive, found = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"),
        visit.api.get(f"/api/drives/{drive_id}/eligibility", limit=PAGE, after=after),
    )
    return visit.page("drive/eligible.html", drive=drive, found=found, after=after, tab="eligible")


@router.get("/history")
async def history(visit: Office, drive_id: int, before: int = 0) -> Response:
    """Return what happened to the drive, newest first: what changed, when, and by whom."""
    drive, changes = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"),
        visit.api.get(f"/api/drives/{drive_id}/history", limit=50, before=before or None),
    )
    return visit.page("drive/history.html", drive=drive, changes=changes, before=before, tab="history", events=EVENTS)


@router.get("/pdf")
async def pdf(visit: SignedIn, drive_id: int) -> Response:
    """Return the job description."""
    drive = await visit.api.get(f"/api/drives/{drive_id}")
    if not drive["pdf_path"]:
        raise ApiProblem(404, "This drive has no PDF.")
    return await stream_file(visit, drive["pdf_path"])


EVENTS: dict[str, str] = {
    "placewire.drive.created.v1": "Created",
    "placewire.drive.revised.v1": "Changed",
    "placewire.drive.published.v1": "Published",
    "placewire.drive.eligibility-requested.v1": "Selection asked for again",
    "placewire.drive.reevaluation-requested.v1": "Marks changed: selection checked again",
    "placewire.drive.registrations-stopped.v1": "Registration ended",
    "placewire.drive.attendance-published.v1": "Attendance published",
    "placewire.drive.deleted.v1": "Deleted",
    "placewire.eligibility.evaluated.v1": "Students selected",
    "placewire.eligibility.failed.v1": "The selection failed",
}
