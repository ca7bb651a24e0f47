"""The list of jobs, with filters in its address, and one job's path from command to effect."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.jobs import Kind, State
from services.console.live import ENDED, follow
from services.console.pages.drive import Office

router = APIRouter(prefix="/console/jobs")

PAGE = 50
KINDS = tuple(kind.value for kind in Kind)
JOB_STATES = tuple(state.value for state in State)


@router.get("")
async def jobs(visit: Office, state: str = "", kind: str = "", drive: str = "", before: str = "") -> Response:
    """Return the jobs that match, newest first. Staff see their own; heads and coordinators see all."""
    state = state if state in JOB_STATES else ""
    kind = kind if kind in KINDS else ""
    subject = f"drive-{drive.strip()}" if drive.strip().isdigit() else ""
    rows = await visit.api.get("/api/jobs", state=state, kind=kind, subject=subject, before=before, limit=PAGE)
    query = {"state": state, "kind": kind, "drive": drive}
    return visit.page(
        "jobs/list.html",
        rows=rows, state_filter=state, kind=kind, drive=drive, kinds=KINDS, job_states=JOB_STATES,
        filtered=bool(state or kind or subject),
        first=query if before else None,
        next={**query, "before": rows[-1]["id"]} if len(rows) == PAGE else None,
    )  # fmt: skip


@router.get("/{job_id:uuid}")
async def job_page(visit: Office, job_id: UUID) -> Response:
    """Return one job with its path."""
    job = await visit.api.get(f"/api/jobs/{job_id}")
    return visit.page("jobs/one.html", job=job, ended=job["state"] in ENDED)


@router.get("/{job_id:uuid}/path")
async def path(visit: Office, job_id: UUID) -> Response:
    """Return the part of the page that changes."""
    job = await visit.api.get(f"/api/jobs/{job_id}")
    return visit.page("jobs/path.html", job=job, ended=job["state"] in ENDED)


@router.get("/{job_id:uuid}/events")
async def events(visit: Office, job_id: UUID) -> Response:
    """Stream the part of the page that changes, until the job ends."""

    async def render(job: dict[str, Any]) -> str:
        return visit.html("jobs/path.html", job=job, ended=job["state"] in ENDED)

    return follow(visit, str(job_id), render)
