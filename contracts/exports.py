"""Files made from the tables. ExportRequested comes from services/api, the others from services/exporter."""

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


class ExportRequested(Event):
    """Somebody wants a file (job kind *export*). ``columns`` in the asked order."""

    TYPE = "placewire.export.requested.v1"

    export_id: UUID
    kind: ExportKind
    format: ExportFormat
    drive_id: int | None = None
    columns: list[str] = Field(min_length=1)
    byte_order_mark: bool = False
    delimiter: str = Field(default=",", min_length=1, max_length=1)


class ExportCompleted(Event):
    """The file is in storage at ``path``, whole. ``sha256`` in hexadecimal; ``snapshot`` is what was read."""

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


class ExportExpired(Event):
    """The file was deleted; the record of it stays."""

    TYPE = "placewire.export.expired.v1"

    export_id: UUID
