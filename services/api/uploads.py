"""Serve uploaded files by signed link, outside ``/api``, because a new browser tab sends no token."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from chassis.errors import Forbidden
from chassis.http.responses import content_disposition
from contracts.files import JOB_DESCRIPTIONS, SERVED_BELOW
from services.api.context import ContextDep
from services.api.drives import sql as drives
from services.api.http.access import PUBLIC
from services.api.http.openapi import documented

router = APIRouter(tags=["uploads"])

PDF = documented(
    {"schema": {"type": "string", "format": "binary"}},
    {403: "This link has expired. Reload the page to get a new one.", 404: "There is no such file."},
    description="The file.",
    media_type="application/pdf",
    response_class=Response,
)


@router.get("/uploads/job-descriptions/{name}", dependencies=[PUBLIC], **PDF)
async def job_description(
    name: Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9._-]+\.pdf$")],
    ctx: ContextDep,
    exp: Annotated[int, Query(ge=0)] = 0,
    sig: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Return a drive's PDF. 403 when the link has expired or its signature is not valid."""
    path = f"{JOB_DESCRIPTIONS}/{name}"
    if not ctx.links.is_valid(SERVED_BELOW + path, exp, sig):
        raise Forbidden("This link has expired. Reload the page to get a new one.")
    content = await ctx.storage.read(path)
    async with ctx.database.connection() as connection:
        original = await drives.pdf_name(connection, SERVED_BELOW + path)
    headers = {
        "Content-Disposition": content_disposition(original or name, "inline"),
        "Cache-Control": "private, max-age=3600",
    }
    return Response(content, media_type="application/pdf", headers=headers)
