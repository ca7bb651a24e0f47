"""Response bodies of the analytics routes."""

from typing import Annotated, Any

from pydantic import Field

from services.api.http.openapi import Count, Document, Instant, JobBrief, documented, refusal

Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$", json_schema_extra={"format": "date"}, examples=["2026-11-24"])]
Percent = Annotated[int, Field(ge=0, le=100, examples=[87])]


class Summary(Document):
    """``posted`` includes pending drives. ``as_of``: when the figures were computed."""

    total_drives: Count = Field(examples=[12])
    posted: Count
    ongoing: Count
    finished: Count
    registrations: Count
    attendance_rate_percent: Percent
    as_of: Instant


class DrivesOfDay(Document):
    day: Day
    count: Annotated[int, Field(ge=1, examples=[2])]


class DriveRegistrations(Document):
    drive_id: int = Field(examples=[42])
    company_name: str = Field(examples=["Acme"])
    job_title: str = Field(examples=["SDE"])
    registrations: Count = Field(examples=[412])


class AttendanceOfDay(Document):
    """``percent``: students marked present, as a share of all marked, for the drives created on that day."""

    day: Day
    percent: Percent


class Refresh(Document):
    """``as_of``: the moment that the figures show. It is later than the request once ``job`` has succeeded.

    Another refresh that began after the request may run first. It then also serves this request, and ``absorbed_by``
    in the job's result is the id of the job of that refresh. A manual refresh (``placewire refresh``) has no job; for
    it ``absorbed_by`` is null.
    """

    refresh_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    as_of: Instant
    job: JobBrief | None = None


INVALID_DAYS = "days must be 3650 or less."
VALIDATORS = {
    "ETag": {"description": "Identifies the figures of one moment.", "schema": {"type": "string"}},
    "Last-Modified": {"description": "The moment of the figures, in whole seconds.", "schema": {"type": "string"}},
}


def _figures(document: Any, description: str) -> dict[str, Any]:
    """Return the documentation of a route with validators.

    These routes answer 400 for invalid parameters. The entry ``4XX`` keeps FastAPI from documenting 422.
    """
    arguments = documented(document, {400: INVALID_DAYS}, description=description, tagged=True)
    for status in (200, 304):
        arguments["responses"][status]["headers"] = VALIDATORS
    arguments["responses"][304]["description"] = "The client's copy is current (If-None-Match, If-Modified-Since)."
    arguments["responses"]["4XX"] = refusal(400, INVALID_DAYS) | {"description": "Any other client error."}
    return arguments


SUMMARY = _figures(Summary, "Totals of the period.")
DRIVES_OVER_TIME = _figures(list[DrivesOfDay], "Days with drives, oldest first.")
REGISTRATIONS_BY_DRIVE = _figures(list[DriveRegistrations], "Drives with the most registrations first.")
ATTENDANCE_TREND = _figures(list[AttendanceOfDay], "Days on which drives with marks were created, oldest first.")
REFRESH = documented(Refresh, description="Refreshed.", job=True)
