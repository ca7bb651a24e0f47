"""What comes in about one student, checked."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from chassis.errors import Invalid
from contracts.students import AcademicRecord, Backlogs, BatchYear, Cgpa, Percent
from services.api.users.routes import Password

# Postgres has no NUL in a text.
NO_NUL = r"^[^\x00]*$"

Email = Annotated[str, Field(max_length=320, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]
RollNumber = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]
Branch = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]
Department = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]


class NewStudent(BaseModel):
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


class RevisedRecord(BaseModel):
    """Only what is sent changes; null takes a mark, branch or year off the record."""

    model_config = ConfigDict(str_strip_whitespace=True, extra="forbid")

    roll_number: RollNumber | None = None
    branch: Branch | None = None
    batch_year: BatchYear | None = None
    tenth_percent: Percent | None = None
    twelfth_percent: Percent | None = None
    cgpa: Cgpa | None = None
    active_backlogs: Backlogs | None = None

    def changes(self) -> dict[str, Any]:
        """Raises ``Invalid`` when nothing is sent, or null for what every record has."""
        found = self.model_dump(exclude_unset=True)
        if not found:
            raise Invalid("Nothing to change: name at least one field of the record.")
        for name in ("roll_number", "active_backlogs"):
            if found.get(name, "") is None:
                raise Invalid(f"{name}: every record has one; it cannot be taken away.")
        return found
