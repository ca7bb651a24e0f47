"""Request and response bodies of the attendance routes."""

from typing import Annotated, Any

from fastapi.responses import Response
from pydantic import ConfigDict, Field, WithJsonSchema

from contracts.attendance import Presence
from services.api.attendance.forms import ID_SCHEMA
from services.api.http.fields import RequestBody
from services.api.http.openapi import Document, MessageBody, bodies, documented

ACCEPTED_STATUSES = [text for status in Presence for text in (status.value, status.value.lower())]


class Attendance(Document):
    attendance_id: int = Field(examples=[301])
    drive_id: int = Field(examples=[42])
    student_id: int = Field(examples=[1001])
    status: Presence


class MarkedStudent(Attendance):
    name: str | None = Field(examples=["Ravi Iyer"])


class Mark(RequestBody):
    """A mark. ``student_id`` may be a number or text. ``status`` may be in upper or lower case."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"student_id": 1001, "status": "PRESENT"}]})

    student_id: Annotated[
        Any, WithJsonSchema({"anyOf": [ID_SCHEMA, {"type": "string", "pattern": "^([1-9][0-9]{0,8}|1[0-9]{9})$"}]})
    ]
    status: Annotated[Any, WithJsonSchema({"type": "string", "enum": ACCEPTED_STATUSES})]


INVALID_ID = {400: "Invalid drive id"}
NO_DRIVE = {404: "Drive not found"}

MARK = documented(
    Attendance,
    {400: "Attendance already published", **NO_DRIVE, 409: "This student is not registered for the drive."},
    description="The current mark.",
    **bodies({"application/json": Mark}),
)
LIST = documented(
    list[MarkedStudent], INVALID_ID, description="The students who were marked, in the order of their first mark."
)
PUBLISH = documented(
    MessageBody,
    {
        400: "Mark attendance for at least one student before publishing.",
        **NO_DRIVE,
        409: "Attendance can only be published while the drive is attending; this drive is posted.",
    },
    description="The drive is finished.",
)
CSV = documented(
    {"schema": {"type": "string"}, "example": 'student_id,name,status\r\n1001,"Ravi Iyer",PRESENT\r\n'},
    {**INVALID_ID, **NO_DRIVE},
    description="A line for each mark.",
    media_type="text/csv",
    response_class=Response,
)
