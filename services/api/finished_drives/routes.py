"""Routes for finished drives."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
from fastapi import APIRouter
from fastapi.responses import Response

from chassis.http.responses import content_disposition, json_response
from contracts.exports import MEDIA_TYPES, ExportFormat
from services.api.context import Context, ContextDep
from services.api.finished_drives import openapi, sql
from services.api.finished_drives.period import LimitQuery, Period, PeriodQuery
from services.api.finished_drives.xlsx_file import finished_xlsx
from services.api.http.access import AccessFirstRoute, CellMember, Organizer
from services.api.http.links import Links
from services.api.http.presentation import day_text, instant_text

router = APIRouter(route_class=AccessFirstRoute, prefix="/api/finished-drives", tags=["finished drives"])


@router.get("", **openapi.LIST)
async def list_finished(period: PeriodQuery, limit: LimitQuery, ctx: ContextDep, _caller: Organizer) -> Response:
    """Return finished drives, newest first. 400 for an invalid period or limit."""
    rows = await _finished(ctx, period, limit)
    # In a thread, because the drives of several seasons would block the event loop too long.
    return await asyncio.to_thread(lambda: json_response([_finished_object(row, ctx.links) for row in rows]))


@router.get("/download-excel", **openapi.EXCEL)
async def download_excel(period: PeriodQuery, ctx: ContextDep, _caller: CellMember) -> Response:
    """Return the finished drives of a period as an XLSX file. Staff may download it too."""
    async with ctx.database.connection() as connection:
        content = await finished_xlsx(connection, period, ctx.settings.zone)
    return _file(content, "xlsx", MEDIA_TYPES[ExportFormat.XLSX])


@router.get("/download-pdf", **openapi.PDF)
async def download_pdf(period: PeriodQuery, ctx: ContextDep, _caller: Organizer) -> Response:
    """Return the finished drives of a period as a PDF report. 503 when too many reports are requested at once."""
    rows = await _finished(ctx, period)
    content = await ctx.reports.write(rows, now=datetime.now(UTC), zone=ctx.settings.zone)
    return _file(content, "pdf", "application/pdf")


async def _finished(ctx: Context, period: Period, limit: int | None = None) -> list[asyncpg.Record]:
    async with ctx.database.connection() as connection:
        return await sql.finished(connection, period, limit)


def _file(content: bytes, extension: str, media_type: str) -> Response:
    name = f"finished-drives-{time.time_ns() // 1_000_000}.{extension}"
    headers = {"Content-Disposition": content_disposition(name), "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type=media_type)


def _finished_object(row: asyncpg.Record, links: Links) -> dict[str, Any]:
    """Return the object of a finished drive. A drive finishes once, so its id also identifies this object."""
    return {
        "id": row["drive_id"],
        "drive_id": row["drive_id"],
        "finished_date": instant_text(row["finished_date"]),
        "total_registered": row["total_registered"],
        "total_present": row["total_present"],
        "total_absent": row["total_absent"],
        "company_name": row["company_name"],
        "job_title": row["job_title"],
        "interview_date": day_text(row["interview_date"]),
        "created_at": instant_text(row["finished_date"]),
        "pdf_path": links.sign(row["pdf_path"]) if row["pdf_path"] else None,
        "domain_id": row["domain_id"],
        "domain_name": row["domain_name"],
    }
