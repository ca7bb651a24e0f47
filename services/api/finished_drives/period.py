"""Which finished drives are asked for: the last months, or all from one day to another."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Query

from chassis.errors import Invalid

MAX_MONTHS = 1200
MAX_LIMIT = 10_000
# The database counts days up to year 5874897, Python to 9999; the day after the last one must exist too.
LAST_DAY = date(9999, 12, 30)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """All of it ``None``: everything. ``last_day`` belongs to it."""

    months: int | None = None
    first_day: date | None = None
    last_day: date | None = None


def _integer(most: int) -> Any:
    return Query(default_factory=str, json_schema_extra={"type": "integer", "minimum": 1, "maximum": most})


def _day() -> Any:
    return Query(default_factory=str, json_schema_extra={"type": "string", "format": "date"})


async def _period(
    months: Annotated[str, _integer(MAX_MONTHS)],
    start_date: Annotated[str, _day()],
    end_date: Annotated[str, _day()],
) -> Period:
    """Raises ``Invalid`` (400). An empty value is an absent one."""
    first_day, last_day = day(start_date, "start_date"), day(end_date, "end_date")
    if (first_day is None) != (last_day is None):
        raise Invalid("start_date and end_date go together.", status=400)
    counted = integer(months, "months", most=MAX_MONTHS)
    if first_day is not None and last_day is not None:
        if counted is not None:
            raise Invalid("Ask for months, or for start_date and end_date; not for both.", status=400)
        if last_day < first_day:
            raise Invalid("end_date lies before start_date.", status=400)
    return Period(counted, first_day, last_day)


async def _limit(limit: Annotated[str, _integer(MAX_LIMIT)]) -> int | None:
    return integer(limit, "limit", most=MAX_LIMIT)


AskedPeriod = Annotated[Period, Depends(_period)]
AskedLimit = Annotated[int | None, Depends(_limit)]


def integer(text: str, name: str, *, most: int) -> int | None:
    """``None`` for no text. Raises ``Invalid`` (400) for anything but a number from 1 to ``most``."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise Invalid(f"{name} must be a whole number from 1 to {most}.", status=400)
    return int(text)


def day(text: str, name: str) -> date | None:
    """``None`` for no text. Raises ``Invalid`` (400) for anything but YYYY-MM-DD."""
    if not text:
        return None
    try:
        found = date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None or found > LAST_DAY:
        raise Invalid(f"{name} must be a day, written YYYY-MM-DD.", status=400)
    return found
