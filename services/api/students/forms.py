"""What comes in about one student, checked."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from chassis.errors import Invalid
from contracts.students import AcademicRecord
from services.api.fields import EMAIL, NOT_BLANK, Backlogs, BatchYear, Cgpa, Percent, RequestBody
from services.api.users.routes import Password

Email = Annotated[str, Field(max_length=320, pattern=EMAIL, examples=["ravi@college.edu"])]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK)]
RollNumber = Annotated[str, Field(min_length=1, max_length=64, pattern=NOT_BLANK)]
Branch = Annotated[str, Field(min_length=1, max_length=100, pattern=NOT_BLANK)]
Department = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK)]


class NewStudent(RequestBody):
    """A student without a password cannot sign in until he is given one."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: Name
    email: Email
    roll_number: RollNumber
    branch: Branch | None = None
    batch_year: BatchYear | None = None
    tenth_percent: Percent | None = None
    twelfth_percent: Percent | None = None
    cgpa: Cgpa | None = None
    active_backlogs: Backlogs = 0
    department: Department | None = None
    password: Password | None = None

    def record(self) -> AcademicRecord:
        return AcademicRecord.model_validate(self.model_dump())


class RevisedRecord(RequestBody):
    """Only what is sent changes; null takes a mark, branch or year off the record."""

    model_config = ConfigDict(str_strip_whitespace=True, json_schema_extra={"minProperties": 1})

    # Made, not declared: what is not sent has no default that anybody should read of.
    roll_number: RollNumber = Field(default_factory=str, examples=["21CS042"])
    branch: Branch | None = None
    batch_year: BatchYear | None = None
    tenth_percent: Percent | None = None
    twelfth_percent: Percent | None = None
    cgpa: Cgpa | None = None
    active_backlogs: Backlogs = Field(default_factory=int)

    def changes(self) -> dict[str, Any]:
        """Raises ``Invalid`` when nothing is sent."""
        found = self.model_dump(exclude_unset=True)
        if not found:
            raise Invalid("Nothing to change: name at least one field of the record.")
        return found
