"""Messages from the reading process to the API: one byte of kind, four bytes of length, then the content."""

import json
import struct
from dataclasses import asdict
from enum import Enum

from chassis.errors import Invalid
from services.api.students.import_files.reading import Chunk, Frame, Opening

HEADER = struct.Struct("!cI")


class Kind(Enum):
    OPENING = b"O"
    CHUNK = b"C"
    ENDING = b"E"
    INVALID = b"I"
    FAILED = b"F"


def encoded(frame: Frame) -> bytes:
    """Return ``frame`` as bytes for the pipe."""
    if isinstance(frame, Chunk):
        return _packed(Kind.CHUNK, frame.content)
    kind = Kind.OPENING if isinstance(frame, Opening) else Kind.ENDING
    return _packed(kind, json.dumps(asdict(frame)).encode())


def refusal(error: Invalid) -> bytes:
    """Return the message for a file that cannot be used."""
    return _packed(Kind.INVALID, json.dumps({"message": str(error), "errors": error.errors}).encode())


def failure(reason: str) -> bytes:
    """Return the message for a failure that the file did not cause."""
    return _packed(Kind.FAILED, reason.encode())


def _packed(kind: Kind, content: bytes) -> bytes:
    return HEADER.pack(kind.value, len(content)) + content
