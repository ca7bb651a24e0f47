"""Exports: request a file, follow its progress, download it."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from services.console.api_client import ApiProblem, segment
from services.console.downloads import stream_file
from services.console.live import follow
from services.console.pages.drive import Office
from services.console.visit import Visit

router = APIRouter(prefix="/console/exports")

KINDS = {
    "registrations": "Registrations",
    "eligible_students": "Eligible students",
    "attendance": "Attendance",
    "finished_drives": "Finished drives",
    "invitations": "Invitations",
}
PAGE = 50


@router.get("")
async def exports(visit: Office, before: str = "") -> Response:
    """Return the requested files, newest first."""
    rows = await visit.api.get("/api/exports", limit=PAGE, before=before)
    return visit.page("exports/list.html", rows=rows, before=before, page=PAGE, kinds=KINDS)


@router.get("/new")
async def new(visit: Office, drive: int = 0, kind: str = "registrations") -> Response:
    """Return the form for a new file."""
    return await _form(visit, {"drive_id": str(drive or ""), "kind": kind}, None)


@router.post("/new")
async def create(visit: Office) -> Response:
    """Request a file, and go to the page with its progress."""
    form = await visit.form()
    body: dict[str, Any] = {"kind": form.text("kind"), "format": form.text("format"), "byte_order_mark": True}
    if form.text("drive_id").isdigit() and form.text("kind") != "finished_drives":
        body["drive_id"] = int(form.text("drive_id"))
    try:
        export = await visit.api.send("POST", "/api/exports", key=form.key, json=body)
    except ApiProblem as refused:
        return await _form(visit, form.values, refused)
    return visit.go(f"/console/exports/{export['export_id']}", done="export-requested")


async def _form(visit: Visit, values: dict[str, str], problem: ApiProblem | None) -> Response:
    drives = await visit.api.get("/api/drives")
    return visit.page("exports/new.html", values=values, drives=drives, kinds=KINDS, problem=problem)


@router.get("/{export_id:uuid}")
async def export_page(visit: Office, export_id: UUID) -> Response:
    """Return one file with its progress."""
    export = await visit.api.get(f"/api/exports/{segment(export_id)}")
    return visit.page("exports/one.html", export=export, kinds=KINDS)


@router.get("/{export_id:uuid}/progress")
async def progress(visit: Office, export_id: UUID) -> Response:
    """Return the part of the page that changes."""
    export = await visit.api.get(f"/api/exports/{segment(export_id)}")
    return visit.page("exports/progress.html", export=export)


@router.get("/{export_id:uuid}/events")
async def events(visit: Office, export_id: UUID) -> Response:
    """Stream the part of the page that changes, until the file is written."""

    async def render(_job: dict[str, Any]) -> str:
        export = await visit.api.get(f"/api/exports/{segment(export_id)}")
        return visit.html("exports/progress.html", export=export)

    return follow(visit, str(export_id), render)


@router.post("/{export_id:uuid}/cancel")
async def cancel(visit: Office, export_id: UUID) -> Response:
    """Cancel a file that is being written."""
    form = await visit.form()
    await visit.api.send("POST", f"/api/jobs/{segment(export_id)}/cancel", key=form.key)
    return visit.go(f"/console/exports/{export_id}", done="cancelled")


@router.get("/{export_id:uuid}/file")
async def file(visit: Office, export_id: UUID) -> Response:
    """Return the file."""
    return await stream_file(visit, f"/api/exports/{segment(export_id)}/file")
