"""Create and revise a drive, with a live count of the students who would be eligible."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiAway, ApiProblem
from services.console.forms import Form
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/drives")

Deciding = Annotated[Visit, allowed(Role.HEAD, Role.COORDINATOR)]
Head = Annotated[Visit, allowed(Role.HEAD)]

POSTING = ("company_name", "job_title", "job_description", "domain_id", "interview_date")
CRITERIA = ("min_cgpa", "min_10th", "min_12th", "max_backlogs", "branches", "batch_years")
COUNT = "count"


@router.get("/new")
async def new(visit: Head) -> Response:
    """Return an empty form."""
    return await _page(visit, {}, None)


@router.post("/new")
async def create(visit: Head) -> Response:
    """Create the drive, or count the eligible students when the form asked for that."""
    form = await visit.form()
    if form.text("action") == COUNT:
        return await _page(visit, form.values, None, counted=await _count(visit, form), key=form.key)
    values: dict[str, Any] = {name: form.text(name) for name in (*POSTING, *CRITERIA)}
    values["auto_calc"] = "true" if form.text("publish") == "now" else "false"
    pdf = form.files.get("pdf")
    # Always multipart: in a form, the API accepts criteria as people type them.
    parts = [(name, (None, value)) for name, value in values.items() if value]
    if pdf is not None:
        parts.append(("pdf", (pdf.filename, pdf.file, "application/pdf")))  # type: ignore[arg-type]
    try:
        drive = await visit.api.send("POST", "/api/drives", key=form.key, files=parts)
    except ApiProblem as refused:
        return await _page(visit, form.values, None, problem=refused)
    return visit.go(f"/console/drives/{drive['drive_id']}", done="drive-created")


@router.get("/{drive_id:int}/edit")
async def edit(visit: Head, drive_id: int) -> Response:
    """Return the form with the drive's values."""
    drive = await visit.api.get(f"/api/drives/{drive_id}")
    return await _page(visit, _typed(drive), drive)


@router.post("/{drive_id:int}/edit")
async def revise(visit: Head, drive_id: int) -> Response:
    """Change the fields that differ from the current drive."""
    form = await visit.form()
    drive = await visit.api.get(f"/api/drives/{drive_id}")
    if form.text("action") == COUNT:
        return await _page(visit, form.values, drive, counted=await _count(visit, form), key=form.key)
    before = _typed(drive)
    given = {name: form.text(name) for name in (*POSTING, *CRITERIA)}
    changes = {name: value for name, value in given.items() if value != before[name]}
    if not changes:
        return visit.go(f"/console/drives/{drive_id}")
    try:
        await visit.api.send("PATCH", f"/api/drives/{drive_id}", key=form.key, json=_sent(changes))
    except ApiProblem as refused:
        return await _page(visit, form.values, drive, problem=refused)
    return visit.go(f"/console/drives/{drive_id}", done="drive-revised")


@router.post("/eligible-count")
async def eligible_count(visit: Deciding) -> Response:
    """Return the part of the form that shows the count while criteria are typed."""
    return visit.page("drives/count.html", counted=await _count(visit, await visit.form()))


async def _count(visit: Visit, form: Form) -> dict[str, Any]:
    """Return ``eligible`` and ``students``, or ``error`` with the message of the API."""
    criteria = {name: form.text(name) for name in CRITERIA if form.text(name)}
    try:
        counted: dict[str, Any] = await visit.api.send("POST", "/api/eligibility/count", json=criteria)
    except ApiProblem as refused:
        return {"error": refused.message}
    except ApiAway:
        return {"error": "The count is not available right now."}
    return counted


def _sent(changes: dict[str, str]) -> dict[str, Any]:
    """Return the JSON for the API. An emptied field removes its limit."""
    sent: dict[str, Any] = {name: value or None for name, value in changes.items()}
    if sent.get("domain_id"):
        sent["domain_id"] = int(sent["domain_id"])
    if "job_description" in sent:
        sent["job_description"] = changes["job_description"]
    return sent


def _typed(drive: dict[str, Any]) -> dict[str, str]:
    """Return the drive's values as the fields of the form."""
    values = {name: "" if drive[name] is None else str(drive[name]) for name in (*POSTING, *CRITERIA)}
    values["interview_date"] = values["interview_date"][:10]
    values["branches"] = ", ".join(f'"{name}"' if "," in name else name for name in drive["branches"] or ())
    values["batch_years"] = ", ".join(map(str, drive["batch_years"] or ()))
    return values


async def _page(
    visit: Visit,
    values: dict[str, str],
    drive: dict[str, Any] | None,
    *,
    problem: ApiProblem | None = None,
    counted: dict[str, Any] | None = None,
    key: str | None = None,
) -> Response:
    domains = await visit.api.get("/api/job-domains")
    if counted is None:
        counted = await _count(visit, Form("", {name: [values.get(name, "")] for name in CRITERIA}))
    return visit.page(
        "drives/form.html", values=values, drive=drive, domains=domains, counted=counted, key=key, problem=problem
    )
