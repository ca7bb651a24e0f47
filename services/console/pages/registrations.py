"""Registrations: those of a drive, and those of the signed-in student, who registers here."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.pages.drive import Office
from services.console.visit import NotAllowed, SignedIn

router = APIRouter(prefix="/console")

PAGE = 100


@router.get("/drives/{drive_id:int}/registrations")
async def registrations(visit: Office, drive_id: int, start: int = 0, search: str = "") -> Response:
    """Return a page of the registered students."""
    start, needle = max(0, start), search.strip().casefold()
    drive, (rows, count) = await asyncio.gather(
        visit.api.get(f"/api/drives/{drive_id}"),
        visit.api.rows(
            f"/api/registrations/{drive_id}/list",
            skip=start,
            take=PAGE,
            matches=lambda row: needle in f"{row['name']} {row['email']}".casefold() if needle else True,
        ),
    )
    return visit.page(
        "registrations/of_drive.html",
        drive=drive,
        rows=rows,
        count=count,
        search=search,
        tab="registrations",
        first={"search": search} if start else None,
        next={"search": search, "start": start + PAGE} if count > start + PAGE else None,
    )


@router.get("/my-registrations")
async def mine(visit: SignedIn) -> Response:
    """Return the student's own registrations, newest first."""
    if not visit.is_any(Role.STUDENT):
        raise NotAllowed
    return visit.page("registrations/mine.html", rows=await visit.api.get("/api/registrations/mine", deleted="true"))


@router.post("/drives/{drive_id:int}/register")
async def register(visit: SignedIn, drive_id: int) -> Response:
    """Register the student. A repeated request shows that they are registered."""
    form = await visit.form()
    try:
        await visit.api.send("POST", f"/api/registrations/{drive_id}/register", key=form.key)
    except ApiProblem as refused:
        drive, check = await asyncio.gather(
            visit.api.get(f"/api/drives/{drive_id}"), visit.api.get(f"/api/registrations/{drive_id}/check")
        )
        return visit.page("registrations/refused.html", drive=drive, registered=check["registered"], problem=refused)
    return visit.go(f"/console/drives/{drive_id}", done="registered")
