"""Read tables that are projected from the API's events, and the API's other tables. Projections: migrations/sql."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Column,
    Computed,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, desc


def _number() -> Column[int]:
    return Column(Integer, primary_key=True, autoincrement=False)


def _generated(type_: Any, expression: str) -> Column[Any]:
    return Column(type_, Computed(expression, persisted=True))


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class User(SQLModel, table=True):
    __tablename__ = "users"
    __table_args__ = (
        Index("users_identity_unique", text("identity_key(email)"), unique=True),
        Index("users_access_changed", "access_changed_at"),
        Index("users_inactive", "user_id", postgresql_where=text("NOT active")),
    )

    user_id: int = Field(sa_column=_number())
    name: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    department: str | None = Field(sa_type=Text)
    person_version: int
    password_version: int
    access_version: int
    active: bool
    access_changed_at: datetime = Field(sa_column=_instant())
    created_at: datetime = Field(sa_column=_instant())
    erased_at: datetime | None = Field(sa_column=_instant(nullable=True))


class Credential(SQLModel, table=True):
    __tablename__ = "credentials"

    user_id: int = Field(sa_column=_number())
    password_hash: str = Field(sa_type=Text)
    changed_at: datetime = Field(sa_column=_instant())


class Student(SQLModel, table=True):
    __tablename__ = "students"
    __table_args__ = (Index("students_roll_number_identity", text("identity_key(roll_number)"), unique=True),)

    student_id: int = Field(sa_column=_number())
    roll_number: str = Field(sa_type=Text)
    branch: str | None = Field(sa_type=Text)
    batch_year: int | None
    tenth_percent: Decimal | None = Field(sa_type=Numeric(5, 2))
    twelfth_percent: Decimal | None = Field(sa_type=Numeric(5, 2))
    cgpa: Decimal | None = Field(sa_type=Numeric(4, 2))
    active_backlogs: int
    active: bool
    diploma_percent: Decimal | None = Field(sa_type=Numeric(5, 2))
    branch_key: str | None = Field(sa_column=_generated(Text, "branch_key(branch)"))


class PasswordLink(SQLModel, table=True):
    """A link that sets a password once. Only the SHA-256 of its token is stored."""

    __tablename__ = "password_links"
    __table_args__ = (
        UniqueConstraint("token_sha256", name="password_links_token_unique"),
        Index("password_links_expiring", "expires_at"),
    )

    user_id: int = Field(sa_column=_number())
    token_sha256: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_column=_instant())
    expires_at: datetime = Field(sa_column=_instant())
    used_at: datetime | None = Field(sa_column=_instant(nullable=True))


class JobDomain(SQLModel, table=True):
    __tablename__ = "job_domains"
    __table_args__ = (UniqueConstraint("domain_name", name="job_domains_name_unique"),)

    domain_id: int = Field(sa_column=Column(Integer, Identity(always=True), primary_key=True))
    domain_name: str = Field(sa_type=Text)


class Drive(SQLModel, table=True):
    __tablename__ = "drives"

    drive_id: int = Field(sa_column=_number())
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
    created_at: datetime = Field(sa_column=_instant())
    status: str = Field(sa_type=Text)
    auto_published: bool
    published_at: datetime | None = Field(sa_column=_instant(nullable=True))
    published_by: int | None
    attendance_published: bool
    list_version: int | None = Field(sa_type=BigInteger)
    branch_keys: list[str] | None = Field(sa_column=_generated(ARRAY(Text), "branch_keys(branches)"))


Index("drives_newest", desc(Drive.created_at), desc(Drive.drive_id))


class RequestedSelection(SQLModel, table=True):
    """The list of a publication; DrivePublished has its checksum. ``drive_version``: of the drive's stream."""

    __tablename__ = "requested_selection"

    drive_id: int = Field(sa_column=_number())
    drive_version: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    student_id: int = Field(sa_column=_number())


class IdempotencyKey(SQLModel, table=True):
    """The result that a command committed under a key, and its first response (``answer``, null until it is stored).

    ``event_id``: of its first event, if it has one. ``expired``: only the key remains, and its use is refused.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_oldest", "created_at", postgresql_where=text("NOT expired")),)

    user_id: int = Field(sa_column=_number())
    route: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, primary_key=True))
    fingerprint: bytes = Field(sa_type=LargeBinary)
    committed: dict[str, Any] = Field(sa_type=JSONB)
    answer: dict[str, Any] | None = Field(sa_type=JSONB)
    created_at: datetime = Field(sa_column=_instant())
    event_id: UUID | None
    expired: bool


class PersonVersion(SQLModel, table=True):
    """A version of a person's details. Deleted by erasure only; never changed."""

    __tablename__ = "person"
    __table_args__ = {"schema": "vault"}

    person_id: int = Field(sa_column=_number())
    version: int = Field(sa_column=_number())
    name: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    roll_number: str | None = Field(sa_type=Text)
    recorded_at: datetime = Field(sa_column=_instant())


class KeptAnswer(SQLModel, table=True):
    """The response body stored for an Idempotency-Key, if it shows personal data."""

    __tablename__ = "kept_answer"
    __table_args__ = {"schema": "vault"}

    user_id: int = Field(sa_column=_number())
    route: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, primary_key=True))
    person_ids: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
