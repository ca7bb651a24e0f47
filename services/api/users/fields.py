"""Types of a user's fields in requests."""

import re
from typing import Annotated

from pydantic import Field, SecretStr

from services.api.http.fields import EMAIL, NO_NUL, NOT_BLANK, SPACE

Password = Annotated[SecretStr, Field(min_length=8, max_length=128)]
Email = Annotated[str, Field(max_length=320, pattern=EMAIL, examples=["asha@college.edu"])]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK)]
Department = Annotated[str, Field(max_length=200, pattern=NO_NUL)]

_AROUND = re.compile(f"^[{SPACE}]+|[{SPACE}]+$")


def trimmed(email: str) -> str:
    """Return ``email`` without the spaces and invisible characters around it, which come with copied text."""
    return _AROUND.sub("", email)
