"""Which finished drives are asked for: of the last months, from one day on, up to another."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import Depends, Query
from pydantic import WithJsonSchema

from chassis.errors import Invalid

MAX_MONTHS = 1200
MAX_LIMIT = 10_000
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """What is in all that is given; ``None`` is no limit. ``last_day`` belongs to it."""

    months: int | None = None
    first_day: date | None = None
    last_day: date | None = None


# Text, so that what is wrong is a 400 here and no 422 of FastAPI's.
Months = Annotated[
    str | None, Query(), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_MONTHS, "examples": [3]})
]
Limit = Annotated[
    str | None, Query(), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "examples": [50]})
]
Day = Annotated[str | None, Query(), WithJsonSchema({"type": "string", "format": "date", "examples": ["2030-03-05"]})]


async def _period(months: Months = None, start_date: Day = None, end_date: Day = None) -> Period:
    """Raises ``Invalid`` (400). What lies in none of them is an empty period, and no mistake."""
    return Period(integer(months, "months", most=MAX_MONTHS), day(start_date, "start_date"), day(end_date, "end_date"))


async def _limit(limit: Limit = None) -> int | None:
    return integer(limit, "limit", most=MAX_LIMIT)


AskedPeriod = Annotated[Period, Depends(_period)]
AskedLimit = Annotated[int | None, Depends(_limit)]


def integer(text: str | None, name: str, *, most: int) -> int | None:
    """Raises ``Invalid`` (400) for anything but a number from 1 to ``most``."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise Invalid(f"{name} must be a whole number from 1 to {most}.", status=400)
    return int(text)


def day(text: str | None, name: str) -> date | None:
    """Raises ``Invalid`` (400) for anything but YYYY-MM-DD."""
    if text is None:
        return None
    try:
        found = date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise Invalid(f"{name} must be a day, written YYYY-MM-DD.", status=400)
    return found
