"""Types of JSON bodies and numbers in requests, with their OpenAPI schema."""

import re
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema

from chassis.http.validation_messages import described
from contracts import students
from contracts.message import MAX_INTEGER

# Postgres text cannot contain NUL.
NO_NUL = described(r"^[^\x00]*$", "must not contain NUL characters")
# Unicode spaces and invisible characters, listed because regular expression dialects differ on ``\s``.
SPACE = r"\x00-\x20\x7f-\xa0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff"
NOT_BLANK = described(rf"^[^\x00]*[^{SPACE}][^\x00]*$", "must not be blank, and must not contain NUL characters")
EMAIL = described(rf"^[^@{SPACE}]+@[^@{SPACE}]+$", "must be an e-mail address, like asha@college.edu")


class RequestBody(BaseModel):
    """The body of a request. Undeclared fields are refused."""

    model_config = ConfigDict(extra="forbid")


def decimal_schema(maximum: int, *, empty: bool = False) -> dict[str, Any]:
    """Return the schema of a number up to ``maximum`` with at most two decimals. ``empty``: empty text is allowed."""
    digits = len(str(maximum)) - 1
    text = rf"{maximum}(\.0{{1,2}})?|[0-9]{{1,{digits}}}(\.[0-9]{{1,2}})?"
    return {
        "anyOf": [
            {"type": "string", "pattern": rf"^({'|' if empty else ''}{text})$"},
            {"type": "number", "minimum": 0, "maximum": maximum, "multipleOf": 0.01},
        ]
    }


def _whole(value: Any) -> Any:
    """Return ``value``. Raise ``ValueError`` for booleans and text, which Pydantic would convert to numbers."""
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")
    return value


WHOLE = BeforeValidator(_whole)

PathId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
BodyId = Annotated[int, Field(ge=1, le=MAX_INTEGER), WHOLE]

Cgpa = Annotated[students.Cgpa, WithJsonSchema(decimal_schema(10) | {"examples": ["7.50"]})]
Percent = Annotated[students.Percent, WithJsonSchema(decimal_schema(100) | {"examples": ["60.00"]})]
Backlogs = Annotated[students.Backlogs, WHOLE]
BatchYear = Annotated[students.BatchYear, WHOLE]

Password = Annotated[SecretStr, Field(min_length=8, max_length=128)]
Email = Annotated[str, Field(max_length=320, pattern=EMAIL, examples=["asha@college.edu"])]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK)]
Department = Annotated[str, Field(max_length=200, pattern=NO_NUL)]

_OUTER_SPACE = re.compile(f"^[{SPACE}]+|[{SPACE}]+$")


def trimmed(email: str) -> str:
    """Return ``email`` without leading and trailing spaces and invisible characters. Copied text often has them."""
    return _OUTER_SPACE.sub("", email)
