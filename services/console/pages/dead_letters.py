"""Dead letters: jobs that failed for good, grouped by their error; queue them again or discard them."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem, few_at_a_time, segment
from services.console.forms import Form
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/dead-letters")

Head = Annotated[Visit, allowed(Role.HEAD)]
LIMIT = 200
MAX_GROUPS = 50


@router.get("")
async def dead_letters(visit: Head) -> Response:
    """Return the dead letters, counted by service, kind and error."""
    return await _groups(visit, None)


@router.get("/group")
async def group(visit: Head, kind: str = "", service: str = "", error_template: str = "") -> Response:
    """Return the newest dead letters of one group."""
    return await _group(visit, {"kind": kind, "service": service, "error_template": error_template}, None)


@router.post("/redrive-group")
async def redrive_group(visit: Head) -> Response:
    """Queue every job of one group again, at most as many as the API takes at once."""
    form = await visit.form()
    try:
        await visit.api.send("POST", "/api/dead-letters/redrive", key=form.key, json=_group_of(form))
    except ApiProblem as problem:
        return await _groups(visit, problem)
    return visit.go("/console/dead-letters", done="redriven")


@router.post("/redrive")
async def redrive(visit: Head) -> Response:
    """Queue the chosen jobs again, each once."""
    form = await visit.form()
    try:
        await few_at_a_time(
            visit.api.send("POST", f"/api/dead-letters/{segment(job_id)}/redrive", key=f"{form.key}-{job_id}", json={})
            for job_id in form.lists.get("job", [])
        )
    except ApiProblem as problem:
        return await _groups(visit, problem)
    return visit.go("/console/dead-letters", done="redriven")


@router.get("/{job_id:uuid}")
async def letter_page(visit: Head, job_id: UUID) -> Response:
    """Return one job with its event and its history."""
    return visit.page("dead_letters/one.html", letter=await visit.api.get(f"/api/dead-letters/{job_id}"))


@router.post("/{job_id:uuid}/discard")
async def discard(visit: Head, job_id: UUID) -> Response:
    """Discard the job, for a reason."""
    form = await visit.form()
    try:
        path = f"/api/dead-letters/{job_id}/discard"
        await visit.api.send("POST", path, key=form.key, json={"reason": form.text("reason")})
    except ApiProblem as refused:
        letter = await visit.api.get(f"/api/dead-letters/{job_id}")
        return visit.page("dead_letters/one.html", letter=letter, problem=refused)
    return visit.go("/console/dead-letters", done="discarded")


def _group_of(form: Form) -> dict[str, str]:
    # Not `text`, which strips: the error must be exactly the API's. Browsers send line ends as CR LF.
    return {name: form.raw(name).replace("\r\n", "\n") for name in ("kind", "service", "error_template")}


async def _groups(visit: Visit, problem: ApiProblem | None) -> Response:
    groups = await visit.api.get("/api/dead-letters/groups", limit=MAX_GROUPS)
    return visit.page("dead_letters/list.html", groups=groups, problem=problem)


async def _group(visit: Visit, chosen: dict[str, Any], problem: ApiProblem | None) -> Response:
    letters = await visit.api.get("/api/dead-letters", limit=LIMIT, **chosen)
    return visit.page("dead_letters/group.html", chosen=chosen, letters=letters, limit=LIMIT, problem=problem)
