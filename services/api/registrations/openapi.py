"""Response bodies of the registration routes."""

from pydantic import Field

from services.api.drives.decider import Status
from services.api.http.openapi import COMMAND_HEADERS, Count, Document, Instant, TwoPlaces, documented


class Registration(Document):
    registration_id: int = Field(examples=[5001])
    drive_id: int = Field(examples=[42])
    student_id: int = Field(examples=[1001])
    registered_at: Instant


class MyRegistration(Registration):
    """A registration with its drive. A null criterion sets no limit."""

    company_name: str = Field(examples=["Acme"])
    job_title: str = Field(examples=["SDE"])
    job_description: str
    status: Status
    min_cgpa: TwoPlaces | None
    min_10th: TwoPlaces | None
    min_12th: TwoPlaces | None
    max_backlogs: Count | None
    attendance_published: bool
    deleted_at: Instant | None = Field(description="when the drive was deleted; only with deleted=true")


class RegisteredStudent(Registration):
    name: str | None = Field(examples=["Ravi Iyer"])
    email: str | None = Field(examples=["ravi@college.edu"])


class IsRegistered(Document):
    registered: bool = Field(examples=[True])


class RegistrationCount(Document):
    drive_id: int = Field(examples=[42])
    registered: Count = Field(examples=[118])


REGISTER = documented(
    Registration,
    {
        403: "You are not eligible for this drive",
        404: "Drive not found",
        409: "You are already registered for this drive",
    },
    description="The registration.",
    status_code=201,
    **COMMAND_HEADERS,
)
MINE = documented(list[MyRegistration], description="The caller's registrations, newest first.")
CHECK = documented(IsRegistered, description="Whether the caller is registered.")
COUNT = documented(RegistrationCount, description="The number of registrations.")
LIST = documented(list[RegisteredStudent], description="All registered students, in the order of their registration.")
