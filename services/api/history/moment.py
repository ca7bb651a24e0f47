"""The parameter ``at``: a moment in the past."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

WITHIN_A_MILLISECOND = timedelta(microseconds=999)


def _instant(given: Any) -> Any:
    """Require RFC 3339: Pydantic alone also accepts dates and seconds since 1970."""
    if not isinstance(given, str) or not RFC_3339.fullmatch(given):
        raise ValueError("must be a moment with its zone (RFC 3339), like 2026-11-24T02:39:19Z; write %2B for +")
    return given


def _in_utc(moment: datetime) -> datetime:
    """Return the end of the millisecond of a moment without microseconds: the API returns times cut to milliseconds."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be a moment of the years 1 to 9999") from error
    return moment if moment.microsecond % 1000 else moment + WITHIN_A_MILLISECOND


At = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_in_utc)] | None,
    Query(description="RFC 3339 with a time zone, to the end of its millisecond; default: now"),
]
