"""HTTP range requests and digests for the files of exports."""

import re
from base64 import b64encode
from dataclasses import dataclass

# A single range of bytes (RFC 9110, section 14.1.2). A request for several ranges gets the whole file.
RANGE = re.compile(r"^bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``start`` to ``end``, exclusive."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class Unsatisfiable(Exception):
    """The range begins after the end of the file (416)."""


def requested_span(range_: str | None, if_range: str | None, *, size: int, etag: str) -> Span | None:
    """Return the requested part; ``None``: the whole file. Raises ``Unsatisfiable``.

    A malformed range is ignored, and so is a range of a file that has changed since (If-Range).
    """
    match = RANGE.match(range_.strip()) if range_ else None
    if match is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, end = max(size - int(last), 0), size
    else:
        return None
    if start >= size or start >= end:
        raise Unsatisfiable
    return Span(start, end)


def repr_digest(sha256_hex: str) -> str:
    """Return the digest of the whole file for ``Repr-Digest``, also for a part of the file (RFC 9530, section 3)."""
    return f"sha-256=:{b64encode(bytes.fromhex(sha256_hex)).decode()}:"
