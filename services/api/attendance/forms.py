"""Validate attendance requests. Each invalid field is a 400 with its own message, as the existing frontend expects."""

import re
from typing import Annotated, Any

from fastapi import Depends, Path

from chassis.errors import Invalid
from contracts.attendance import Presence
from contracts.message import MAX_INTEGER
from services.api.http.strict_input import refuse_unknown_fields

NUMBER = re.compile(r"[1-9][0-9]{0,9}")
ID_SCHEMA = {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER}


async def _drive_number(drive_id: Annotated[str, Path(json_schema_extra=ID_SCHEMA)]) -> int:
    return number(drive_id, "Invalid drive id")


DriveNumber = Annotated[int, Depends(_drive_number)]


def number(value: Any, message: str) -> int:
    """Return ``value``, from JSON or a path, as an id. Raise ``Invalid`` (400) with ``message`` if it is not an id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # in JSON, 5.0 and 5 are the same number
    if isinstance(value, bool) or not isinstance(value, int | str) or not NUMBER.fullmatch(str(value)):
        raise Invalid(message, status=400)
    if (id_ := int(value)) > MAX_INTEGER:
        raise Invalid(message, status=400)
    return id_


def mark_of(fields: dict[str, Any]) -> tuple[int, Presence]:
    """Return the student's id and the status, which may be in lower case. Raises ``Invalid`` (400)."""
    refuse_unknown_fields(fields, ("student_id", "status"))
    student_id = number(fields.get("student_id"), "Invalid student id")
    try:
        return student_id, Presence(str(fields.get("status")).strip().upper())
    except ValueError as error:
        raise Invalid("Invalid attendance status", status=400) from error
