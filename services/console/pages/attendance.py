"""Mark attendance by keyboard, on a phone or with a form, and publish it."""

import asyncio
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem, few_at_a_time
from services.console.downloads import stream_file
from services.console.pages.drive import Deciding, registered_count
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/drives/{drive_id:int}/attendance")

Coordinator = Annotated[Visit, allowed(Role.COORDINATOR)]
STATUSES = ("PRESENT", "ABSENT")
PAGE = 100


@router.get("")
async def desk(visit: Deciding, drive_id: int, start: int = 0, search: str = "") -> Response:
    """Return the registered students with their marks."""
    return await _desk(visit, drive_id, start=max(0, start), search=search)


@router.post("")
async def save(visit: Coordinator, drive_id: int, start: int = 0, search: str = "") -> Response:
    """Save every mark that differs from what the page showed."""
    form = await visit.form()
    marks = {name.removeprefix("mark-"): values[0] for name, values in form.lists.items() if name.startswith("mark-")}
    changed = {
        student: mark for student, mark in marks.items() if mark in STATUSES and form.text(f"was-{student}") != mark
    }
    try:
        await few_at_a_time(
            _mark(visit, drive_id, student, status, f"{form.key}-{student}-{status}")
            for student, status in changed.items()
        )
    except ApiProblem as problem:
        return await _desk(visit, drive_id, start=start, search=search, problem=problem, typed=marks)
    query = f"?start={start}" if start else ""
    return visit.go(f"/console/drives/{drive_id}/attendance{query}", done="marked")


@router.post("/{student_id:int}")
async def mark_one(visit: Coordinator, drive_id: int, student_id: int) -> Response:
    """Save one mark, and return the part of the page that confirms it."""
    form = await visit.form()
    status = form.text(f"mark-{student_id}")
    problem = None
    try:
        # A new key each time: present, absent and present again are three commands.
        await _mark(visit, drive_id, str(student_id), status, str(uuid4()))
    except ApiProblem as refused:
        problem = refused
    return visit.page("attendance/saved.html", status=status, refusal=problem.message if problem else None)


@router.get("/publish")
async def publish_page(visit: Coordinator, drive_id: int) -> Response:
    """Return the counts, and what publishing means."""
    return await _publish(visit, drive_id, None)


@router.post("/publish")
async def publish(visit: Coordinator, drive_id: int) -> Response:
    """Publish the attendance: the drive is finished."""
    form = await visit.form()
    try:
        await visit.api.send("POST", f"/api/attendance/{drive_id}/publish", key=form.key)
    except ApiProblem as refused:
        return await _publish(visit, drive_id, refused)
    return visit.go(f"/console/drives/{drive_id}", done="attendance-published")


@router.get("/file")
async def file(visit: Deciding, drive_id: int) -> Response:
    """Return the attendance as CSV."""
    return await stream_file(visit, f"/api/attendance/{drive_id}/download-csv", bom="true")


async def _mark(visit: Visit, drive_id: int, student: str, status: str, key: str) -> None:
    body = {"student_id": student, "status": status}
    await visit.api.send("POST", f"/api/attendance/{drive_id}/mark", key=key, json=body)


async def _desk(
    visit: Visit,
    drive_id: int,
    *,
    start: int,
    search: str,
    problem: ApiProblem | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    needle = search.strip().casefold()
    drive, marked, (rows, count) = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"),
        visit.api.get(f"/api/attendance/{drive_id}/list"),
        visit.api.rows(
            f"/api/registrations/{drive_id}/list",
            skip=start,
            take=PAGE,
            matches=lambda row: needle in f"{row['name']} {row['email']}".casefold() if needle else True,
        ),
    )
    marks = {mark["student_id"]: mark["status"] for mark in marked}
    return visit.page(
        "attendance/desk.html",
        drive=drive,
        rows=sorted(rows, key=lambda row: str(row["name"] or "").casefold()),
        count=count,
        marks=marks,
        typed=typed or {},
        tallies=_tallies(marks, count),
        search=search,
        tab="attendance",
        may_mark=visit.is_any(Role.COORDINATOR) and drive["status"] == "attending",
        first={"search": search} if start else None,
        next={"search": search, "start": start + PAGE} if count > start + PAGE else None,
        problem=problem,
    )


def _tallies(marks: dict[int, str], registered: int) -> dict[str, int]:
    present = sum(mark == "PRESENT" for mark in marks.values())
    return {"PRESENT": present, "ABSENT": len(marks) - present, "unmarked": max(0, registered - len(marks))}


async def _publish(visit: Visit, drive_id: int, problem: ApiProblem | None) -> Response:
    drive, marked, registered = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"),
        visit.api.get(f"/api/attendance/{drive_id}/list"),
        registered_count(visit, drive_id),
    )
    marks: dict[int, str] = {mark["student_id"]: mark["status"] for mark in marked}
    return visit.page("attendance/publish.html", drive=drive, tallies=_tallies(marks, registered), problem=problem)
