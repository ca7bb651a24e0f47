"""Response bodies of the personal data routes."""

from typing import Annotated, Any

from pydantic import Field

from contracts.jobs import State
from contracts.users import Role
from services.api.http.openapi import Count, Document, Instant, TwoPlaces, documented
from services.api.personal_data.access_log import Reading

Id = Annotated[int, Field(ge=1)]
Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
DriveName = Annotated[str | None, Field(examples=["Acme - SDE"], description="null: the log has no such drive")]
Changed = Annotated[list[str] | None, Field(examples=[["cgpa"]], description="the fields that differ from before")]
By = Annotated[int | None, Field(description="id of the user who made the change; null: it was made without a sign-in")]


class Account(Document):
    user_id: Id
    name: str
    email: str
    role: Role
    department: str | None
    active: bool
    created_at: Instant
    access_changed_at: Instant


class DetailsVersion(Document):
    version: Annotated[int, Field(ge=1)]
    name: str
    email: str
    roll_number: str | None
    recorded_at: Instant


class Password(Document):
    changed_at: Instant


class StoredLink(Document):
    """``used_at``: when the link was used or became unusable. Its token is not stored."""

    created_at: Instant
    expires_at: Instant
    used_at: Instant | None


class AccountChange(Document):
    at: Instant
    change: str = Field(examples=["password-changed"])
    changed: Changed
    role: Role | None
    by: By


class Record(Document):
    roll_number: str
    branch: str | None
    batch_year: int | None
    tenth_percent: TwoPlaces | None
    twelfth_percent: TwoPlaces | None
    diploma_percent: TwoPlaces | None
    cgpa: TwoPlaces | None
    active_backlogs: Count


class RecordChange(Document):
    """``record``: the record after the change."""

    at: Instant
    enrolled: bool
    changed: Changed
    record: dict[str, Any]
    by: By


class OwnRegistration(Document):
    registration_id: Id
    drive_id: Id
    drive: DriveName
    registered_at: Instant
    attendance: str | None = Field(examples=["PRESENT"])


class DeletedRegistration(OwnRegistration):
    drive_deleted_at: Instant


class OwnSelection(Document):
    """``revoked_at``: null while the student is selected, or if they were selected when the drive was deleted."""

    drive_id: Id
    drive: DriveName
    selected_at: Instant
    revoked_at: Instant | None


class Listed(Document):
    drive_id: Id
    drive: DriveName
    published_at: Instant


class AddressedNotification(Document):
    notification_id: Id
    title: str
    message: str
    entity_type: str
    entity_id: int
    created_at: Instant
    read_at: Instant | None


class KeptAnswer(Document):
    """The stored response to a request with an Idempotency-Key. ``expires_at``: null if it has expired."""

    route: str = Field(examples=["POST /api/drives"])
    kept_since: Instant
    expires_at: Instant | None


class RequestedJob(Document):
    job_id: Uuid
    kind: str
    subject: str
    state: State
    queued_at: Instant
    finished_at: Instant | None


class RequestedExport(Document):
    export_id: Uuid
    kind: str
    format: str
    drive_id: int | None
    state: str
    requested_at: Instant
    expires_at: Instant | None


class OwnDrive(Document):
    drive_id: Id
    drive: str
    created: bool
    published: bool
    created_at: Instant


class Access(Document):
    at: Instant
    operation: Reading
    reader_id: Id
    reader_role: Role
    reader_name: str | None
    correlation_id: Uuid


class ListAccess(Document):
    """Accesses to lists of many students. ``times``: how many. It is not recorded which students a list showed."""

    operation: Reading
    reader_id: Id
    reader_role: Role
    reader_name: str | None
    times: Annotated[int, Field(ge=1)]
    first_at: Instant
    last_at: Instant


class OwnAccess(Document):
    """``student_id``: null for a list."""

    at: Instant
    operation: Reading
    student_id: int | None
    correlation_id: Uuid


class OwnData(Document):
    """Everything that is stored about a person. Null or an empty list means that nothing is stored."""

    person_id: Id
    generated_at: Instant
    notes: list[str]
    account: Account | None
    details: list[DetailsVersion]
    password: Password | None
    password_link: StoredLink | None
    account_history: list[AccountChange]
    record: Record | None
    record_history: list[RecordChange]
    registrations: list[OwnRegistration]
    deleted_registrations: list[DeletedRegistration]
    decisions: list[OwnSelection]
    listed: list[Listed]
    notifications: list[AddressedNotification]
    kept_answers: list[KeptAnswer]
    jobs: list[RequestedJob]
    exports: list[RequestedExport]
    drives: list[OwnDrive]
    accesses: list[Access]
    list_accesses: list[ListAccess]
    own_accesses: list[OwnAccess]


OWN_DATA = documented(OwnData, description="Everything that is stored about the caller.")
OWN_DATA["responses"][200] = {"content": {"text/html": {"schema": {"type": "string"}}}}


class ErasureCounts(Document):
    """The number of rows and files by kind. ``versions``: versions of name, e-mail address and roll number.

    ``export_files``: files of any user that may show the person.
    """

    versions: Count
    kept_answers: Count
    passwords: Count
    password_links: Count
    read_marks: Count
    export_files: Count


class Erased(Document):
    """``counts``: what this request erased, or would erase. ``erased_at``: null if the person is not erased."""

    person_id: Id
    dry_run: bool
    already_erased: bool
    erased_at: Instant | None
    counts: ErasureCounts
    message: str = Field(examples=["The personal data was erased, and the account is closed."])


REFUSED = {409: "You cannot erase your own account: ask another head of the cell."}
ERASE_STUDENT = documented(Erased, {404: "Student not found"}, description="What was erased.")
ERASE_USER = documented(Erased, {404: "There is no such user.", **REFUSED}, description="What was erased.")
