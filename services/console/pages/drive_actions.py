"""Publish, stop and delete a drive. A page shows the consequence of each first."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.pages.drive import Deciding, registered_count
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/drives/{drive_id:int}")

Head = Annotated[Visit, allowed(Role.HEAD)]
Coordinator = Annotated[Visit, allowed(Role.COORDINATOR)]
# With more eligible students, a drive is published to all of them: the page lists none to choose from.
MOST_CHOSEN = 300
NOT_THE_NAME = "Type the company's name exactly as it is written above."


@router.get("/publish")
async def publish_page(visit: Deciding, drive_id: int) -> Response:
    """Return the preview: who would be selected."""
    return await _preview(visit, drive_id, None)


@router.post("/publish")
async def publish(visit: Deciding, drive_id: int) -> Response:
    """Publish to everyone who is eligible, or to the students that were chosen."""
    form = await visit.form()
    chosen = [int(student) for student in form.lists.get("student", []) if student.isdigit()]
    body: dict[str, Any] = {}
    if form.text("to") == "chosen":
        if not chosen:
            message = "Choose at least one student."
            return await _preview(visit, drive_id, ApiProblem(422, message, [{"field": "student", "message": message}]))
        body = {"selected_students": chosen}
    try:
        await visit.api.send("POST", f"/api/drives/{drive_id}/publish", key=form.key, json=body)
    except ApiProblem as refused:
        return await _preview(visit, drive_id, refused)
    return visit.go(f"/console/drives/{drive_id}", done="drive-published")


async def _preview(visit: Visit, drive_id: int, problem: ApiProblem | None) -> Response:
    drive = await visit.api.get(f"/api/drives/{drive_id}")
    names = ("min_cgpa", "min_10th", "min_12th", "max_backlogs", "branches", "batch_years")
    criteria = {name: drive[name] for name in names if drive[name] is not None}
    counted, found = await asyncio.gather(
        visit.api.send("POST", "/api/eligibility/count", json=criteria),
        visit.api.get(f"/api/drives/{drive_id}/eligibility", limit=MOST_CHOSEN),
    )
    students = found["students"] if counted["eligible"] <= MOST_CHOSEN else []
    return visit.page("drive/publish.html", drive=drive, counted=counted, students=students, problem=problem)


@router.get("/stop")
async def stop_page(visit: Coordinator, drive_id: int) -> Response:
    """Return what the end of the registration means."""
    return await _stop(visit, drive_id, None)


@router.post("/stop")
async def stop(visit: Coordinator, drive_id: int) -> Response:
    """End the registration. From then on attendance can be marked."""
    form = await visit.form()
    try:
        await visit.api.send("POST", f"/api/drives/{drive_id}/stop-registrations", key=form.key)
    except ApiProblem as refused:
        return await _stop(visit, drive_id, refused)
    return visit.go(f"/console/drives/{drive_id}/attendance", done="drive-stopped")


async def _stop(visit: Visit, drive_id: int, problem: ApiProblem | None) -> Response:
    drive, registered = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"), registered_count(visit, drive_id)
    )
    return visit.page("drive/stop.html", drive=drive, registered=registered, problem=problem)


@router.get("/delete")
async def delete_page(visit: Head, drive_id: int) -> Response:
    """Return what the deletion removes, and ask for the company's name."""
    return await _delete(visit, drive_id, None)


@router.post("/delete")
async def delete(visit: Head, drive_id: int) -> Response:
    """Delete the drive when its company's name was typed."""
    form = await visit.form()
    drive = await visit.api.get(f"/api/drives/{drive_id}")
    if form.text("name") != drive["company_name"].strip():
        problem = ApiProblem(422, NOT_THE_NAME, [{"field": "name", "message": NOT_THE_NAME}])
        return await _delete(visit, drive_id, problem)
    try:
        await visit.api.send("DELETE", f"/api/drives/{drive_id}", key=form.key)
    except ApiProblem as refused:
        return await _delete(visit, drive_id, refused)
    return visit.go("/console/drives", done="drive-deleted")


async def _delete(visit: Visit, drive_id: int, problem: ApiProblem | None) -> Response:
    drive, registered = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"), registered_count(visit, drive_id)
    )
    return visit.page("drive/delete.html", drive=drive, registered=registered, problem=problem)
