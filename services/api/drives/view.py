"""The API's representation of a drive."""

from typing import Any

import asyncpg

from services.api.http.links import Links
from services.api.http.presentation import day_text, decimal_text, instant_text


def drive_object(row: asyncpg.Record, links: Links) -> dict[str, Any]:
    """Return the drive object from a row of ``sql.LIST`` or ``sql.GET``.

    ``job_domain`` repeats ``domain_name``, because three screens of the frontend read that name.
    """
    return {
        "drive_id": row["drive_id"],
        "company_name": row["company_name"],
        "job_title": row["job_title"],
        "job_description": row["job_description"],
        "domain_id": row["domain_id"],
        "domain_name": row["domain_name"],
        "job_domain": row["domain_name"],
        "interview_date": day_text(row["interview_date"]),
        "min_cgpa": decimal_text(row["min_cgpa"]),
        "min_10th": decimal_text(row["min_10th"]),
        "min_12th": decimal_text(row["min_12th"]),
        "max_backlogs": row["max_backlogs"],
        "branches": row["branches"],
        "batch_years": row["batch_years"],
        "posted_by": row["posted_by"],
        "created_at": instant_text(row["created_at"]),
        "auto_published": row["auto_published"],
        "pdf_path": links.sign(row["pdf_path"]) if row["pdf_path"] else None,
        "status": row["status"],
        "published_at": instant_text(row["published_at"]),
        "published_by": row["published_by"],
        "attendance_published": row["attendance_published"],
    }
