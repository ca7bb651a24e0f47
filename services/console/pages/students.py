"""Students: search, one student's page, enrol, correct, password link."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.pages.drive import Office
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/students")

Head = Annotated[Visit, allowed(Role.HEAD)]
Deciding = Annotated[Visit, allowed(Role.HEAD, Role.COORDINATOR)]
PAGE = 50
SHOWN_ACCESSES = 50
DETAILS = ("name", "email", "department")
RECORD = (
    "roll_number", "branch", "batch_year", "tenth_percent", "twelfth_percent", "diploma_percent", "cgpa",
    "active_backlogs",
)  # fmt: skip
WHOLE = ("batch_year", "active_backlogs")


@router.get("")
async def students(visit: Office, search: str = "", branch: str = "", after: int = 0) -> Response:
    """Return a page of the students that match, by number."""
    rows = await visit.api.get(
        "/api/students", search=search.strip(), branch=branch.strip(), after=max(0, after), limit=PAGE
    )
    query = {"search": search, "branch": branch}
    return visit.page(
        "students/list.html",
        rows=rows, search=search, branch=branch,
        first=query if after else None,
        next={**query, "after": rows[-1]["student_id"]} if len(rows) == PAGE else None,
    )  # fmt: skip


@router.get("/new")
async def new(visit: Head) -> Response:
    """Return the form for one student."""
    return visit.page("students/form.html", values={}, student=None)


@router.post("/new")
async def enrol(visit: Head) -> Response:
    """Enrol one student."""
    form = await visit.form()
    given = {name: form.text(name) for name in (*DETAILS, *RECORD) if form.text(name)}
    try:
        student = await visit.api.send("POST", "/api/students", key=form.key, json=_sent(given))
    except ApiProblem as refused:
        return visit.page("students/form.html", values=form.values, student=None, problem=refused)
    return visit.go(f"/console/students/{student['student_id']}", done="student-enrolled")


@router.get("/{student_id:int}")
async def student_page(visit: Office, student_id: int, drive: int = 0, at: str = "") -> Response:
    """Return everything about one student; with ``drive``, why they were eligible or not at a moment."""
    explanation, problem = None, None
    if drive:
        try:
            explanation = await visit.api.get(
                f"/api/eligibility/{drive}/explain", student_id=student_id, at=_instant(visit, at)
            )
        except ApiProblem as refused:
            problem = refused.message
        except ValueError:
            problem = "Write the moment as day and time."
    return await _page(visit, student_id, chosen=drive, at=at, explanation=explanation, why_problem=problem)


async def _page(visit: Visit, student_id: int, **shown: Any) -> Response:
    calls = [
        visit.api.get(f"/api/students/{student_id}"),
        visit.api.get("/api/drives"),
        visit.api.get(f"/api/students/{student_id}/registrations"),
    ]
    if visit.is_any(Role.HEAD):
        calls.append(visit.api.get(f"/api/students/{student_id}/accesses", limit=SHOWN_ACCESSES))
    student, drives, registrations, *accesses = await asyncio.gather(*calls)
    values: dict[str, Any] = {"chosen": 0, "at": "", "explanation": None, "why_problem": None, "link": None} | shown
    return visit.page(
        "students/one.html",
        student=student, drives=drives, registrations=registrations, accesses=accesses[0] if accesses else None,
        shown_accesses=SHOWN_ACCESSES, **values,
    )  # fmt: skip


def _instant(visit: Visit, typed: str) -> str | None:
    """Return the instant of a moment typed in the campus's time zone. Raises ``ValueError`` for another text."""
    return datetime.fromisoformat(typed).replace(tzinfo=visit.zone).isoformat() if typed else None


@router.get("/{student_id:int}/edit")
async def edit(visit: Deciding, student_id: int) -> Response:
    """Return the form with the record."""
    student = await visit.api.get(f"/api/students/{student_id}")
    return visit.page("students/form.html", values=_typed(student), student=student)


@router.post("/{student_id:int}/edit")
async def revise(visit: Deciding, student_id: int) -> Response:
    """Correct the fields that differ from the current record."""
    form = await visit.form()
    student = await visit.api.get(f"/api/students/{student_id}")
    before = _typed(student)
    names = (*DETAILS, *RECORD) if visit.is_any(Role.HEAD) else RECORD
    changes = {name: form.text(name) for name in names if form.text(name) != before[name]}
    if not changes:
        return visit.go(f"/console/students/{student_id}")
    try:
        await visit.api.send("PATCH", f"/api/students/{student_id}", key=form.key, json=_sent(changes))
    except ApiProblem as refused:
        return visit.page("students/form.html", values=form.values, student=student, problem=refused)
    return visit.go(f"/console/students/{student_id}", done="student-revised")


@router.post("/{student_id:int}/password-link")
async def password_link(visit: Deciding, student_id: int) -> Response:
    """Create a password link, and show it once."""
    await visit.form()
    return await _page(visit, student_id, link=await visit.api.send("POST", f"/api/users/{student_id}/password-link"))


def _sent(given: dict[str, str]) -> dict[str, Any]:
    """Return the JSON for the API: numbers as numbers, an emptied field as null."""
    sent: dict[str, Any] = {name: value or None for name, value in given.items()}
    for name in WHOLE:
        if given.get(name, "").isdigit():
            sent[name] = int(given[name])
    return sent


def _typed(student: dict[str, Any]) -> dict[str, str]:
    return {name: "" if student[name] is None else str(student[name]) for name in (*DETAILS, *RECORD)}
