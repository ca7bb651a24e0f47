"""Responses with a strong ETag, and 304 for callers whose copy is current (RFC 9110, section 13.1.2)."""

import re
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from fastapi import Request
from fastapi.responses import Response

# Only the browser may cache the response, and it must revalidate it before each use.
CACHING = "private, no-cache"

# An entity tag may contain commas. A weak tag matches the strong one here (RFC 9110, section 8.8.3.2).
TAGS = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True)
class Tagged:
    """JSON bytes and the tag that identifies them. Its two responses can be sent many times."""

    body: bytes
    etag: str

    @cached_property
    def whole(self) -> Response:
        return Response(self.body, headers=self._headers, media_type="application/json")

    @cached_property
    def not_modified(self) -> Response:
        return Response(status_code=304, headers=self._headers)

    @property
    def _headers(self) -> dict[str, str]:
        return {"ETag": self.etag, "Cache-Control": CACHING}


def tagged(body: bytes) -> Tagged:
    return Tagged(body, f'"{sha256(body).hexdigest()[:32]}"')


def conditional_response(request: Request, response: Tagged) -> Response:
    """Return ``response``, or 304 when If-None-Match names its ETag."""
    return (
        response.not_modified if is_known(response.etag, request.headers.getlist("if-none-match")) else response.whole
    )


def is_known(etag: str, if_none_match: list[str]) -> bool:
    """Return whether a line of If-None-Match names ``etag`` or is ``*``. Without lines, return false."""
    return any(line == etag or line.strip() == "*" or etag in TAGS.findall(line) for line in if_none_match)
