"""Dead letters: jobs that were given up, grouped by their error; queue them again or discard them."""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem, few_at_a_time, segment
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/dead-letters")

Head = Annotated[Visit, allowed(Role.HEAD)]
LIMIT = 200
# What differs between two errors of one cause: numbers, ids, quoted names.
VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+|'[^']*'|\"[^\"]*\"")


@router.get("")
async def dead_letters(visit: Head) -> Response:
    """Return the newest dead letters, grouped by kind and error."""
    return await _page(visit, None)


async def _page(visit: Visit, problem: ApiProblem | None) -> Response:
    rows = await visit.api.get("/api/dead-letters", limit=LIMIT)
    return visit.page("dead_letters/list.html", groups=grouped(rows), limit=LIMIT, count=len(rows), problem=problem)


def grouped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups of the same kind and error, the largest first. Numbers, ids and names in errors are ignored."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        error = row["reason"] or ""
        key = (row["kind"], VARYING.sub("…", error))
        group = groups.setdefault(key, {"kind": row["kind"], "reason": error, "letters": []})
        group["letters"].append(row)
    return sorted(groups.values(), key=lambda group: -len(group["letters"]))


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
        return await _page(visit, problem)
    return visit.go("/console/dead-letters", done="redriven")


@router.get("/{job_id:uuid}")
async def letter_page(visit: Head, job_id: UUID) -> Response:
    """Return one job with its event and what was done with it."""
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
