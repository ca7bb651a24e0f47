"""Tables of the API: read tables that follow from its events, and tables that it writes directly.

Projections: migrations/functions/project_student.sql, project_user.sql, project_drive.sql.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Sequence,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, desc

from chassis.eventstore.tables import instant, number, preset, written_at


def _generated(type_: Any, expression: str) -> Column[Any]:
    return Column(type_, Computed(expression, persisted=True))


class User(SQLModel, table=True):
    """An account. ``access_version`` counts the changes of its access. At zero, no token can be out of date.

    ``person_version``: the version in ``vault.person`` that the row shows. ``erased_at``: when the person's data was
    erased. An erased account stays closed.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("users_identity_unique", text("identity_key(email)"), unique=True),
        Index("users_access_changed", "access_changed_at"),
        Index("users_inactive", "user_id", postgresql_where=text("NOT active")),
        # Leaves free space in each page for updates, such as a change of the password.
        {"postgresql_with": {"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05}},
    )

    user_id: int = Field(sa_column=number())
    name: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    department: str | None = Field(sa_type=Text)
    password_version: int = Field(sa_column=preset(Integer, "0"))
    access_changed_at: datetime = Field(sa_column=instant())
    created_at: datetime = Field(sa_column=instant())
    active: bool = Field(sa_column=preset(Boolean, "true"))
    access_version: int = Field(sa_column=preset(Integer, "0"))
    person_version: int
    erased_at: datetime | None = Field(sa_column=instant(nullable=True))


class Credential(SQLModel, table=True):
    __tablename__ = "credentials"

    user_id: int = Field(sa_column=number())
    password_hash: str = Field(sa_type=Text)
    changed_at: datetime = Field(sa_column=written_at())


class Student(SQLModel, table=True):
    """A student's record. ``active`` is a copy of ``users.active``, so that an evaluation reads one table."""

    __tablename__ = "students"
    __table_args__ = (
        Index("students_roll_number_identity", text("identity_key(roll_number)"), unique=True),
        # Marks are revised for single students, and by an import for a whole batch at once.
        {"postgresql_with": {"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05}},
    )

    student_id: int = Field(sa_column=number())
    roll_number: str = Field(sa_type=Text)
    branch: str | None = Field(sa_type=Text)
    batch_year: int | None
    tenth_percent: Decimal | None = Field(sa_type=Numeric(5, 2))
    twelfth_percent: Decimal | None = Field(sa_type=Numeric(5, 2))
    cgpa: Decimal | None = Field(sa_type=Numeric(4, 2))
    active_backlogs: int
    active: bool = Field(sa_column=preset(Boolean, "true"))
    diploma_percent: Decimal | None = Field(sa_type=Numeric(5, 2))
    branch_key: str | None = Field(sa_column=_generated(Text, "branch_key(branch)"))


class PasswordLink(SQLModel, table=True):
    """A link that sets a password once. Only the SHA-256 of its token is stored."""

    __tablename__ = "password_links"
    __table_args__ = (
        UniqueConstraint("token_sha256", name="password_links_token_unique"),
        Index("password_links_expiring", "expires_at"),
    )

    user_id: int = Field(sa_column=number())
    token_sha256: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_column=written_at())
    expires_at: datetime = Field(sa_column=instant())
    used_at: datetime | None = Field(sa_column=instant(nullable=True))


class JobDomain(SQLModel, table=True):
    __tablename__ = "job_domains"
    __table_args__ = (UniqueConstraint("domain_name", name="job_domains_name_unique"),)

    domain_id: int = Field(sa_column=Column(Integer, Identity(always=True), primary_key=True))
    domain_name: str = Field(sa_type=Text)


class Drive(SQLModel, table=True):
    """A drive. ``list_version``: the version of the publication whose list applies.

    If ``list_version`` is null, every eligible student is selected.
    """

    __tablename__ = "drives"
    # A small table with many updates: each command on a drive updates its row.
    __table_args__ = {"postgresql_with": {"fillfactor": 70}}

    drive_id: int = Field(sa_column=number())
    version: int = Field(sa_type=BigInteger)
    company_name: str = Field(sa_type=Text)
    job_title: str = Field(sa_type=Text)
    job_description: str = Field(sa_type=Text)
    domain_id: int | None
    interview_date: date | None
    min_cgpa: Decimal | None = Field(sa_type=Numeric(4, 2))
    min_10th: Decimal | None = Field(sa_type=Numeric(5, 2))
    min_12th: Decimal | None = Field(sa_type=Numeric(5, 2))
    max_backlogs: int | None
    branches: list[str] | None = Field(sa_type=ARRAY(Text))
    batch_years: list[int] | None = Field(sa_type=ARRAY(Integer))
    pdf_path: str | None = Field(sa_type=Text)
    posted_by: int
    created_at: datetime = Field(sa_column=instant())
    status: str = Field(sa_type=Text)
    auto_published: bool
    published_at: datetime | None = Field(sa_column=instant(nullable=True))
    published_by: int | None
    attendance_published: bool
    list_version: int | None = Field(sa_type=BigInteger)
    branch_keys: list[str] | None = Field(sa_column=_generated(ARRAY(Text), "branch_keys(branches)"))


USER_IDS = Sequence("user_id_seq", data_type=Integer, metadata=SQLModel.metadata)
DRIVE_IDS = Sequence("drive_id_seq", data_type=Integer, metadata=SQLModel.metadata)

Index("drives_newest", desc(Drive.created_at), desc(Drive.drive_id))


class RequestedSelection(SQLModel, table=True):
    """A student on the list of a publication. The event DrivePublished has the checksum of the list.

    ``drive_version``: the version of the drive's stream that the publication created.
    """

    __tablename__ = "requested_selection"

    drive_id: int = Field(sa_column=number())
    drive_version: int = Field(sa_column=number(BigInteger))
    student_id: int = Field(sa_column=number())


class IdempotencyKey(SQLModel, table=True):
    """The result that a command committed under a key, and its first response (``answer``, null until it is stored).

    ``event_id``: the id of the command's first event, if any. ``expired``: the row keeps only the key, and requests
    with it are refused.
    """

    __tablename__ = "idempotency_keys"
    # Each row is written three times within seconds: to claim the key, with the result, and with the response. Measured
    # over 6,000 updates: at fillfactor 80 none wrote an index entry, at 90 6 % did, and at 100 10 %. At 50 the table
    # was 50 % larger.
    __table_args__ = (
        Index("idempotency_keys_oldest", "created_at", postgresql_where=text("NOT expired")),
        {
            "postgresql_with": {
                "fillfactor": 80,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_threshold": 2000,
            }
        },
    )

    user_id: int = Field(sa_column=number())
    route: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, primary_key=True))
    fingerprint: bytes = Field(sa_type=LargeBinary)
    committed: dict[str, Any] = Field(sa_type=JSONB)
    answer: dict[str, Any] | None = Field(sa_type=JSONB)
    created_at: datetime = Field(sa_column=written_at())
    event_id: UUID | None
    expired: bool = Field(sa_column=preset(Boolean, "false"))


class PersonVersion(SQLModel, table=True):
    """A version of a person's details. A row never changes; only an erasure deletes it.

    Versions count from 1. A student's ``person_id`` is the ``student_id``. ``roll_number``: null for other people.
    """

    __tablename__ = "person"
    # The same settings as es.event.
    __table_args__ = {
        "schema": "vault",
        "postgresql_with": {
            "autovacuum_vacuum_insert_scale_factor": 0.02,
            "autovacuum_analyze_scale_factor": 0.02,
        },
    }

    person_id: int = Field(sa_column=number())
    version: int = Field(sa_column=number())
    name: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    roll_number: str | None = Field(sa_type=Text)
    recorded_at: datetime = Field(sa_column=written_at())


class KeptAnswer(SQLModel, table=True):
    """The response body that is stored for an Idempotency-Key, if it shows personal data.

    The type is json, because jsonb would not return the body byte for byte.
    """

    __tablename__ = "kept_answer"
    __table_args__ = {"schema": "vault"}

    user_id: int = Field(sa_column=number())
    route: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, primary_key=True))
    person_ids: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
