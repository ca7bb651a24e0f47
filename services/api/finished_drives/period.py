"""Query parameters that select finished drives: the last months, a first day, a last day."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Query
from pydantic import WithJsonSchema

from chassis.days import day_of, start_of
from chassis.errors import Invalid
from services.api.context import ContextDep

MAX_MONTHS = 1200
MAX_LIMIT = 10_000
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """A period from ``begins`` (inclusive) to ``ends`` (exclusive). ``None``: no limit."""

    begins: datetime | None = None
    ends: datetime | None = None


# Declared as text, so that this module answers an invalid value with 400. FastAPI would answer 422.
Months = Annotated[
    str | None, Query(), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_MONTHS, "examples": [3]})
]
Limit = Annotated[
    str | None, Query(), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "examples": [50]})
]
Day = Annotated[str | None, Query(), WithJsonSchema({"type": "string", "format": "date", "examples": ["2030-03-05"]})]


async def _period(ctx: ContextDep, months: Months = None, start_date: Day = None, end_date: Day = None) -> Period:
    """Return the period of the query. Raises ``Invalid`` (400). An empty period is allowed."""
    zone = ctx.settings.zone
    return period(
        integer(months, "months", limit=MAX_MONTHS),
        day(start_date, "start_date"),
        day(end_date, "end_date"),
        zone=zone,
        today=day_of(datetime.now(UTC), zone),
    )


async def _limit(limit: Limit = None) -> int | None:
    return integer(limit, "limit", limit=MAX_LIMIT)


PeriodQuery = Annotated[Period, Depends(_period)]
LimitQuery = Annotated[int | None, Depends(_limit)]


def period(months: int | None, first: date | None, last: date | None, *, zone: ZoneInfo, today: date) -> Period:
    """Return the period that meets all conditions. It covers whole days of the campus, including ``last``."""
    firsts = [day for day in (first, None if months is None else months_before(today, months)) if day]
    begins = _start(max(firsts), zone) if firsts else None
    ends = None if last is None or last == date.max else _start(last + timedelta(days=1), zone)
    return Period(begins, ends)


def months_before(day: date, months: int) -> date:
    """Return the same day ``months`` earlier, or the last day of that month if it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _start(day: date, zone: ZoneInfo) -> datetime | None:
    try:
        return start_of(day, zone)
    except OverflowError:  # the first or last day that Python knows: no limit
        return None


def integer(text: str | None, name: str, *, limit: int) -> int | None:
    """Return ``text`` as a number. Raises ``Invalid`` (400) unless it is from 1 to ``limit``."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= limit:
        raise Invalid(f"{name} must be a whole number from 1 to {limit}.", status=400)
    return int(text)


def day(text: str | None, name: str) -> date | None:
    """Return ``text`` as a day. Raises ``Invalid`` (400) for anything but YYYY-MM-DD."""
    if text is None:
        return None
    try:
        parsed = date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise Invalid(f"{name} must be a day, written YYYY-MM-DD.", status=400)
    return parsed
