"""Finished drives with their counts, and the reports."""

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.downloads import stream_file
from services.console.pages.drive import Office
from services.console.visit import Visit

router = APIRouter(prefix="/console/finished-drives")

LIMIT = 200


@router.get("")
async def finished(visit: Office, start_date: str = "", end_date: str = "") -> Response:
    """Return the drives that were finished in a period, newest first. Staff can only download the workbook."""
    rows, problem = [], None
    if visit.is_any(Role.HEAD, Role.COORDINATOR):
        try:
            rows = await visit.api.get("/api/finished-drives", limit=LIMIT, **_period(start_date, end_date))
        except ApiProblem as refused:
            problem = refused
    return visit.page(
        "finished/list.html", rows=rows, start_date=start_date, end_date=end_date, limit=LIMIT, problem=problem
    )


@router.get("/excel")
async def excel(visit: Office, start_date: str = "", end_date: str = "") -> Response:
    """Return the workbook."""
    return await _report(visit, "excel", start_date, end_date)


@router.get("/pdf")
async def pdf(visit: Office, start_date: str = "", end_date: str = "") -> Response:
    """Return the report."""
    return await _report(visit, "pdf", start_date, end_date)


async def _report(visit: Visit, kind: str, start_date: str, end_date: str) -> Response:
    return await stream_file(visit, f"/api/finished-drives/download-{kind}", **_period(start_date, end_date))


def _period(start_date: str, end_date: str) -> dict[str, str]:
    given = {"start_date": start_date, "end_date": end_date}
    return {name: value for name, value in given.items() if value}
