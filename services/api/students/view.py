"""The API's representation of a student."""

from typing import Any

import asyncpg

from services.api.http.presentation import decimal_text, instant_text


def student_object(row: asyncpg.Record) -> dict[str, Any]:
    """Return the student object from a row of ``sql.LIST`` or ``sql.GET``. A mark that is not on record is null."""
    return {
        "student_id": row["student_id"],
        "name": row["name"],
        "email": row["email"],
        "department": row["department"],
        "roll_number": row["roll_number"],
        "branch": row["branch"],
        "batch_year": row["batch_year"],
        "tenth_percent": decimal_text(row["tenth_percent"]),
        "twelfth_percent": decimal_text(row["twelfth_percent"]),
        "diploma_percent": decimal_text(row["diploma_percent"]),
        "cgpa": decimal_text(row["cgpa"]),
        "active_backlogs": row["active_backlogs"],
        "active": row["active"],
    }


def registration_object(row: asyncpg.Record) -> dict[str, Any]:
    """Return one registration from a row of ``sql.REGISTRATIONS``."""
    return {
        "registration_id": row["registration_id"],
        "drive_id": row["drive_id"],
        "company_name": row["company_name"],
        "job_title": row["job_title"],
        "status": row["status"],
        "registered_at": instant_text(row["registered_at"]),
        "attendance": row["attendance"],
    }


def access_object(row: asyncpg.Record) -> dict[str, Any]:
    """Return one entry of the access log from a row of ``sql.ACCESSES``."""
    return {
        "at": instant_text(row["at"]),
        "operation": row["operation"],
        "reader_id": row["reader_id"],
        "reader_role": row["reader_role"],
        "reader_name": row["reader_name"],
        "correlation_id": str(row["correlation_id"]),
    }
