"""Add and rename job domains."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/domains")

Head = Annotated[Visit, allowed(Role.HEAD)]


@router.get("")
async def domains(visit: Head) -> Response:
    """Return the domains, and the form for a new one."""
    return await _page(visit, None)


@router.post("")
async def add(visit: Head) -> Response:
    """Add a domain."""
    form = await visit.form()
    try:
        await visit.api.send("POST", "/api/job-domains", key=form.key, json={"domain_name": form.text("domain_name")})
    except ApiProblem as refused:
        return await _page(visit, refused, form.text("domain_name"))
    return visit.go("/console/domains", done="domain-added")


@router.post("/{domain_id}")
async def rename(visit: Head, domain_id: int) -> Response:
    """Rename a domain."""
    form = await visit.form()
    body = {"domain_name": form.text("domain_name")}
    try:
        await visit.api.send("PATCH", f"/api/job-domains/{domain_id}", key=form.key, json=body)
    except ApiProblem as refused:
        return await _page(visit, refused)
    return visit.go("/console/domains", done="domain-renamed")


async def _page(visit: Visit, problem: ApiProblem | None, typed: str = "") -> Response:
    rows = await visit.api.get("/api/job-domains")
    return visit.page("domains/domains.html", rows=rows, typed=typed, problem=problem)
