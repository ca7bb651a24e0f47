"""Exported files. services/api produces requests and cancellations, services/exporter the other events."""

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.message import Event


class ExportKind(StrEnum):
    REGISTRATIONS = "registrations"
    ELIGIBLE_STUDENTS = "eligible_students"
    ATTENDANCE = "attendance"
    FINISHED_DRIVES = "finished_drives"


class ExportFormat(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"


MEDIA_TYPES: dict[ExportFormat, str] = {
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

_PERSON = ("student_id", "roll_number", "name", "email", "branch", "batch_year")
_MARKS = ("cgpa", "tenth_percent", "twelfth_percent", "diploma_percent", "active_backlogs")
_DRIVE = ("drive_id", "company_name", "job_title")

# The columns of each kind, in their default order. The API validates requests against these names, and the exporter
# writes the columns.
COLUMNS: dict[ExportKind, tuple[str, ...]] = {
    ExportKind.REGISTRATIONS: ("registration_id", *_PERSON, "registered_at", *_MARKS, *_DRIVE),
    ExportKind.ELIGIBLE_STUDENTS: (*_PERSON, *_MARKS, "selected", *_DRIVE),
    ExportKind.ATTENDANCE: ("attendance_id", *_PERSON, "status", *_DRIVE),
    ExportKind.FINISHED_DRIVES: (
        *_DRIVE, "domain_name", "interview_date", "finished_date", "total_registered", "total_present", "total_absent",
    ),
}  # fmt: skip
# Kinds with data of one drive, which the request must name.
OF_ONE_DRIVE = frozenset({ExportKind.REGISTRATIONS, ExportKind.ELIGIBLE_STUDENTS, ExportKind.ATTENDANCE})


class ExportRequested(Event):
    """Requests a file (job kind *export*). ``columns``: in the order of the file."""

    TYPE = "placewire.export.requested.v1"

    export_id: UUID
    kind: ExportKind
    format: ExportFormat
    drive_id: int | None = None
    columns: list[str] = Field(min_length=1)
    byte_order_mark: bool = False
    delimiter: str = Field(default=",", min_length=1, max_length=1)


# A file of password links. Not an ``ExportKind``, because only a head can request it, by its own route.
INVITATIONS = "invitations"
INVITATION_COLUMNS = ("student_id", "roll_number", "name", "email", "branch", "batch_year", "link", "expires_at")
LINK_DAYS = 7
# The token is in the fragment of the address. Browsers do not send it, so it cannot appear in access logs.
LINK_PATH = "/console/accept-invitation#token="


class InvitationsRequested(Event):
    """A head requested a CSV file with a link for each active student without a password (job kind *export*).

    A filter that is ``None`` limits nothing. ``link_base``: the start of each link. The exporter creates the tokens.
    """

    TYPE = "placewire.export.invitations-requested.v1"

    export_id: UUID
    link_base: str
    branches: list[str] | None = None
    batch_years: list[int] | None = None
    student_ids: list[int] | None = None
    byte_order_mark: bool = False
    delimiter: str = Field(default=",", min_length=1, max_length=1)


class ExportCompleted(Event):
    """The complete file is stored at ``path``. ``sha256`` is hexadecimal. ``snapshot``: that of the rows."""

    TYPE = "placewire.export.completed.v1"

    export_id: UUID
    path: str
    rows: int = Field(ge=0)
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    snapshot: str
    expires_at: AwareDatetime


class ExportFailed(Event):
    TYPE = "placewire.export.failed.v1"

    export_id: UUID
    reason: str


class ExportCancelled(Event):
    """The user who requested the export, or a head, cancelled it. There is no file. Producer: services/api."""

    TYPE = "placewire.export.cancelled.v1"

    export_id: UUID


class ExportExpired(Event):
    """The file was deleted. The job of the export stays."""

    TYPE = "placewire.export.expired.v1"

    export_id: UUID
