"""Recruitment drives, from creation to end. Producer: services/api."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.message import Event, Message
from contracts.students import Backlogs, BatchYear, Cgpa, Digest, Percent, StudentRange


class Criteria(Message):
    """The criteria that a student must meet. ``None``: no limit (not zero)."""

    min_cgpa: Cgpa | None = None
    min_10th: Percent | None = None
    min_12th: Percent | None = None
    max_backlogs: Backlogs | None = None
    branches: list[Annotated[str, Field(max_length=100)]] | None = Field(default=None, min_length=1, max_length=200)
    batch_years: list[BatchYear] | None = Field(default=None, min_length=1, max_length=50)


class Posting(Message):
    """The posting of a drive: what the company offers and requires."""

    company_name: str = Field(min_length=1, max_length=200)
    job_title: str = Field(min_length=1, max_length=200)
    job_description: str = Field(default="", max_length=50_000)
    domain_id: int | None = None
    interview_date: date | None = None
    pdf_path: str | None = None
    pdf_name: str | None = Field(default=None, max_length=255, description="the PDF's name as it was uploaded")
    criteria: Criteria


class Requested(Message):
    """Count and checksum of a list of students: rows of ``requested_selection`` with this event's stream version."""

    count: int = Field(ge=1)
    digest: Digest


class DriveCreated(Event):
    """A head created a drive. Only heads and coordinators see it."""

    TYPE = "placewire.drive.created.v1"

    drive_id: int
    posting: Posting
    posted_by: int


class DriveRevised(Event):
    """A head changed the posting. ``posting`` is the new one; ``changed``: the names of the fields that differ."""

    TYPE = "placewire.drive.revised.v1"

    drive_id: int
    posting: Posting
    changed: list[str] = Field(min_length=1)


class DrivePublished(Event):
    """Students can see the drive. Requests an evaluation, which selects students (job kind *eligibility*).

    ``requested``: select exactly that list; ``None``: select everyone who meets ``criteria``.
    """

    TYPE = "placewire.drive.published.v1"

    drive_id: int
    criteria: Criteria
    published_by: int
    auto_published: bool = False
    requested: Requested | None = None


class EligibilityRequested(Event):
    """Requests another evaluation of all students (job kind *eligibility*).

    ``posted``: selections are replaced; otherwise students are only counted. ``requested_version``: the stream version
    of the publication whose list applies; ``None``: every eligible student is selected.
    """

    TYPE = "placewire.drive.eligibility-requested.v1"

    drive_id: int
    criteria: Criteria
    posted: bool
    requested_version: int | None = None


class ReevaluationRequested(Event):
    """Marks changed: requests another evaluation of these students for a posted drive (job kind *eligibility*).

    The event has no criteria, because the job applies those of the drive's last evaluation of all students.
    ``import_id``: the import that changed the marks, if any.
    """

    TYPE = "placewire.drive.reevaluation-requested.v1"

    drive_id: int
    students: StudentRange
    import_id: UUID | None = None


class RegistrationsStopped(Event):
    """Students can no longer register; attendance can be marked."""

    TYPE = "placewire.drive.registrations-stopped.v1"

    drive_id: int


class AttendancePublished(Event):
    """The drive is finished. ``registered`` includes students without an attendance mark."""

    TYPE = "placewire.drive.attendance-published.v1"

    drive_id: int
    registered: int = Field(ge=0)
    present: int = Field(ge=0)
    absent: int = Field(ge=0)


class DriveDeleted(Event):
    """The drive no longer appears in lists; its history stays.

    ``pdf_path``: the file that is deleted with it. ``registered``: the number of registered students.
    """

    TYPE = "placewire.drive.deleted.v1"

    drive_id: int
    pdf_path: str | None = None
    registered: int | None = Field(default=None, ge=0)


DriveEvent = (
    DriveCreated
    | DriveRevised
    | DrivePublished
    | EligibilityRequested
    | ReevaluationRequested
    | RegistrationsStopped
    | AttendancePublished
    | DriveDeleted
)
