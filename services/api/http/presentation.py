"""Format values for the public API: decimals as text with two places, instants in UTC with milliseconds, jobs."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from contracts.jobs import Job

TWO_PLACES = Decimal("0.01")
JOB_TIMES = ("queued_at", "started_at", "finished_at")


def decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else str(value.quantize(TWO_PLACES))


def instant_text(value: datetime | None) -> str | None:
    """Return ``value`` like ``2026-11-24T02:39:19.365Z``."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_text(value: date | None) -> str | None:
    """Return a day as the instant at which it begins in UTC, which is the format that the frontend expects."""
    return None if value is None else f"{value.isoformat()}T00:00:00.000Z"


def job_object(job: Job) -> dict[str, Any]:
    """Return ``job`` as JSON values."""
    return job.model_dump(mode="json") | {name: instant_text(getattr(job, name)) for name in JOB_TIMES}
