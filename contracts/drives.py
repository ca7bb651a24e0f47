"""A recruitment drive: one company's visit, from draft to finish. Producer: services/api."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.message import Event, Message
from contracts.students import Backlogs, BatchYear, Cgpa, Digest, Percent, StudentRange


class Criteria(Message):
    """The bar a student must clear. ``None`` is no limit, never zero."""

    min_cgpa: Cgpa | None = None
    min_10th: Percent | None = None
    min_12th: Percent | None = None
    max_backlogs: Backlogs | None = None
    branches: list[Annotated[str, Field(max_length=100)]] | None = Field(default=None, min_length=1, max_length=200)
    batch_years: list[BatchYear] | None = Field(default=None, min_length=1, max_length=50)


class Posting(Message):
    """What the company offers and asks for."""

    company_name: str = Field(min_length=1, max_length=200)
    job_title: str = Field(min_length=1, max_length=200)
    job_description: str = Field(default="", max_length=50_000)
    domain_id: int | None = None
    interview_date: date | None = None
    pdf_path: str | None = None
    pdf_name: str | None = Field(default=None, max_length=255, description="the PDF's name as it was uploaded")
    criteria: Criteria


class Requested(Message):
    """A coordinator's own list: the ledger ``requested_selection`` of this event's stream version, sealed."""

    count: int = Field(ge=1)
    digest: Digest


class DriveCreated(Event):
    """The head of the cell wrote a drive down; only staff who may review it see it."""

    TYPE = "placewire.drive.created.v1"

    drive_id: int
    posting: Posting
    posted_by: int


class DriveRevised(Event):
    """The posting as it stands afterwards; ``changed`` names the fields that differ from before."""

    TYPE = "placewire.drive.revised.v1"

    drive_id: int
    posting: Posting
    changed: list[str] = Field(min_length=1)


class DrivePublished(Event):
    """Students can see the drive; who is selected must now be worked out (job kind *eligibility*).

    ``requested``: select exactly that list; ``None``: select everyone who meets ``criteria``.
    """

    TYPE = "placewire.drive.published.v1"

    drive_id: int
    criteria: Criteria
    published_by: int
    auto_published: bool = False
    requested: Requested | None = None


class EligibilityRequested(Event):
    """Somebody asked to judge the students again (job kind *eligibility*).

    ``posted``: selections are worked out anew; otherwise only counted. ``requested_version``: the stream version
    of the publication whose list is in force, ``None`` when everyone eligible is selected.
    """

    TYPE = "placewire.drive.eligibility-requested.v1"

    drive_id: int
    criteria: Criteria
    posted: bool
    requested_version: int | None = None


class ReevaluationRequested(Event):
    """Marks that this posted drive asks for are new: judge these students again (job kind *eligibility*).

    Not by criteria of its own: by those that the drive's selections stand by when the job runs. ``import_id``: of the
    import that brought them, if one did.
    """

    TYPE = "placewire.drive.reevaluation-requested.v1"

    drive_id: int
    students: StudentRange
    import_id: UUID | None = None


class RegistrationsStopped(Event):
    """Nobody can register any more; attendance may be marked."""

    TYPE = "placewire.drive.registrations-stopped.v1"

    drive_id: int


class AttendancePublished(Event):
    """The drive is finished. ``registered`` includes those whose attendance was never marked."""

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
