"""The parameter ``at``: a moment in the past."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

WITHIN_A_MILLISECOND = timedelta(microseconds=999)


def _instant(value: Any) -> Any:
    """Return ``value`` if it is RFC 3339 text. Pydantic alone also accepts dates and seconds since 1970."""
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):
        raise ValueError("must be a moment with its zone (RFC 3339), like 2026-11-24T02:39:19Z; write %2B for +")
    return value


def _in_utc(moment: datetime) -> datetime:
    """Return ``moment`` in UTC. A moment without microseconds becomes the last microsecond of its millisecond.

    The API cuts the times that it returns to milliseconds. So a returned time includes the event that it dates.
    """
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be a moment of the years 1 to 9999") from error
    return moment if moment.microsecond % 1000 else moment + WITHIN_A_MILLISECOND


At = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_in_utc)] | None,
    Query(description="a moment, as RFC 3339 with a time zone; it includes its whole millisecond; default: now"),
]
