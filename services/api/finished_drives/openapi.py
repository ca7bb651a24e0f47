"""Response bodies of the routes for finished drives."""

from typing import Annotated

from fastapi.responses import Response
from pydantic import Field

from contracts.exports import MEDIA_TYPES, ExportFormat
from services.api.http.openapi import Count, Document, Instant, documented

Link = Annotated[str, Field(examples=["/uploads/job-descriptions/1795487959357-sde.pdf?exp=1795492800&sig=0f3c"])]


class FinishedDrive(Document):
    """A drive as it was when its attendance was published. ``total_registered`` includes students without a mark."""

    id: int = Field(examples=[42])
    drive_id: int = Field(examples=[42])
    finished_date: Instant
    total_registered: Count
    total_present: Count
    total_absent: Count
    company_name: str = Field(examples=["Acme"])
    job_title: str = Field(examples=["SDE"])
    interview_date: Instant | None
    created_at: Instant
    pdf_path: Link | None
    domain_id: int | None = Field(examples=[7])
    domain_name: str | None = Field(examples=["Cloud Computing"])


FILE = {"schema": {"type": "string", "format": "binary"}}
XLSX = MEDIA_TYPES[ExportFormat.XLSX]
INVALID_PERIOD = {400: "start_date must be a day, written YYYY-MM-DD."}

LIST = documented(list[FinishedDrive], INVALID_PERIOD, description="Finished drives, newest first.")
EXCEL = documented(
    FILE,
    INVALID_PERIOD,
    description="A workbook with a row for each drive.",
    media_type=XLSX,
    response_class=Response,
)
PDF = documented(FILE, INVALID_PERIOD, description="A report.", media_type="application/pdf", response_class=Response)
