"""Conditional responses for figures that change only when the views are refreshed (RFC 9110, section 13)."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from zoneinfo import ZoneInfo

# With Last-Modified alone, a browser would show cached figures without a request, for a tenth of their age. ``Vary``
# keeps the browser from showing them to the next user who signs in.
CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}


def headers(as_of: datetime, zone: ZoneInfo) -> dict[str, str]:
    """Return the cache headers of a response from the views refreshed at ``as_of``.

    The ETag is exact. Last-Modified is rounded down to whole seconds.
    """
    return {
        "ETag": _tag(as_of, zone),
        "Last-Modified": format_datetime(as_of.astimezone(UTC).replace(microsecond=0), usegmt=True),
        **CACHING,
    }


def is_known(as_of: datetime, zone: ZoneInfo, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """Return whether the caller has this response. A tag takes precedence over a date; a malformed date is ignored.

    The date must equal the date of this response. A later date does not count: it dates from a time when the
    database's clock was ahead.
    """
    if if_none_match is not None:
        known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return "*" in known or _tag(as_of, zone) in known
    try:
        since = parsedate_to_datetime(if_modified_since or "")
    except ValueError:
        return False
    return as_of.replace(microsecond=0) == (since if since.tzinfo else since.replace(tzinfo=UTC))


def _tag(as_of: datetime, zone: ZoneInfo) -> str:
    return f'"{int(as_of.timestamp() * 1_000_000):x}-{zone.key}"'
