"""Read the body of a publication: the students to select. A list of a million ids must not block the event loop.

A small body is parsed at once. A large body is parsed in pieces, in a thread, because a single call would hold the
interpreter lock until it returns. For the same reason Postgres receives the ids as the text of an array.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from fastapi import Request

from chassis.errors import Invalid
from contracts.message import MAX_INTEGER

PIECE_BYTES = 64 * 1024
START = re.compile(rb'\s*\{\s*"selected_students"\s*:\s*\[')
END = re.compile(rb"\]\s*\}\s*")
EXPECTED = 'Send a JSON object with "selected_students": a list of students\' user ids.'


@dataclass(frozen=True, slots=True)
class SelectedStudents:
    """The ids of students. ``array``: the text of a Postgres array. ``digest``: SHA-256 of the ids in their order."""

    array: str
    digest: str


async def selected_students(request: Request) -> SelectedStudents | None:
    """Return the students in the body; ``None`` when it has no list, which means every eligible student.

    Raises ``Invalid``: 400 for a body that is not JSON, 422 for anything but a list of ids.
    """
    body = await request.body()
    if len(body) <= PIECE_BYTES:
        return _parsed(body)
    return await asyncio.to_thread(_parsed_in_pieces, body)


def _parsed(body: bytes) -> SelectedStudents | None:
    try:
        fields = orjson.loads(body) if body else {}
    except ValueError as error:
        raise Invalid("The body is not valid JSON.", status=400) from error
    if not isinstance(fields, dict):
        raise Invalid(EXPECTED)
    if unknown := sorted(set(fields) - {"selected_students"}):
        raise Invalid(f"Unknown fields: {', '.join(unknown)}. {EXPECTED}")
    ids = fields.get("selected_students")
    if ids is None:
        return None
    if not isinstance(ids, list):
        raise Invalid(EXPECTED)
    if not ids:
        raise Invalid("selected_students is empty. Name at least one student, or omit it to select all eligible.")
    return _joined(iter([ids]))


def _parsed_in_pieces(body: bytes) -> SelectedStudents:
    start = START.match(body)
    end = body.rfind(b"]")
    if start is None or not END.fullmatch(body, end):
        raise Invalid(EXPECTED)
    return _joined(_pieces(body, start.end(), end))


def _pieces(body: bytes, start: int, end: int) -> Iterator[list[object]]:
    """Yield the elements between ``start`` and ``end``. Ids have no commas, so the list can be cut at any comma."""
    while True:
        cut = body.find(b",", start + PIECE_BYTES, end)
        piece = body[start : end if cut < 0 else cut]
        try:
            ids = orjson.loads(b"[" + piece + b"]")
        except ValueError as error:
            raise Invalid(EXPECTED) from error
        if not ids:  # two commas with nothing between them
            raise Invalid(EXPECTED)
        yield ids
        if cut < 0:
            return
        start = cut + 1


def _joined(pieces: Iterator[list[object]]) -> SelectedStudents:
    digest = hashlib.sha256()
    texts = []
    count = 0
    for piece in pieces:
        for number, id_ in enumerate(piece, start=count + 1):
            if type(id_) is not int or not 1 <= id_ <= MAX_INTEGER:
                raise Invalid(f"selected_students: entry {number} is not a user id. It must be a whole number from 1.")
        count += len(piece)
        text = orjson.dumps(piece)[1:-1]
        digest.update(text + b",")
        texts.append(text)
    return SelectedStudents("{" + b",".join(texts).decode() + "}", digest.hexdigest())
