"""Validate requests about one student."""

import unicodedata
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from chassis.errors import Invalid
from contracts.students import AcademicRecord
from services.api.http.fields import EMAIL, NOT_BLANK, Backlogs, BatchYear, Cgpa, Password, Percent, RequestBody
from services.api.users.decider import DETAILS

# Normalised to NFC, as an import stores it.
COMPOSED = AfterValidator(partial(unicodedata.normalize, "NFC"))
Email = Annotated[str, Field(max_length=320, pattern=EMAIL, examples=["ravi@college.edu"]), COMPOSED]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK), COMPOSED]
RollNumber = Annotated[str, Field(min_length=1, max_length=64, pattern=NOT_BLANK), COMPOSED]
Branch = Annotated[str, Field(min_length=1, max_length=100, pattern=NOT_BLANK), COMPOSED]
Department = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK), COMPOSED]


class _OptionalFields(RequestBody):
    """The fields that a record may lack."""

    model_config = ConfigDict(str_strip_whitespace=True)

    branch: Branch | None = None
    batch_year: BatchYear | None = None
    tenth_percent: Percent | None = None
    twelfth_percent: Percent | None = None
    diploma_percent: Percent | None = None
    cgpa: Cgpa | None = None
    department: Department | None = None


class NewStudent(_OptionalFields):
    """A new student. Without a password, the student cannot sign in until one is set."""

    name: Name
    email: Email
    roll_number: RollNumber
    active_backlogs: Backlogs = 0
    password: Password | None = None

    def record(self) -> AcademicRecord:
        return AcademicRecord.model_validate(self.model_dump())


class RevisedRecord(_OptionalFields):
    """Only the fields that are sent change. Null clears a mark, branch, year or department.

    A head may correct every field. A coordinator may correct all fields but ``name``, ``email`` and ``department``.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    # `default_factory` instead of `default`, so that OpenAPI shows no default for fields that are not sent.
    name: Name = Field(default_factory=str, examples=["Ravi Iyer"])
    email: Email = Field(default_factory=str)
    roll_number: RollNumber = Field(default_factory=str, examples=["21CS042"])
    active_backlogs: Backlogs = Field(default_factory=int)

    def changes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the changes of the record and of the details. Raises ``Invalid`` when nothing is sent."""
        record = self.model_dump(exclude_unset=True)
        if not record:
            raise Invalid("Nothing to change: name at least one field of the record.")
        details = {name: record.pop(name) for name in DETAILS if name in record}
        return record, details
