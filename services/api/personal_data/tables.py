"""Tables of accesses to students' records and of erased people. Functions: migrations/sql/0027_*.sql."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, Text, text
from sqlmodel import Field, SQLModel


class AccessRecord(SQLModel, table=True):
    """One access to a student's record, or to a list (``student_id`` null). Partitioned by month of ``at``."""

    __tablename__ = "access_log"
    __table_args__ = (
        Index("access_log_of_student", "student_id", "at", postgresql_where=text("student_id IS NOT NULL")),
        Index("access_log_of_lists", "at", postgresql_where=text("student_id IS NULL")),
        Index("access_log_of_reader", "reader_id", "at"),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    reader_id: int
    reader_role: str = Field(sa_type=Text)
    operation: str = Field(sa_type=Text)
    student_id: int | None
    correlation_id: UUID


class Erasure(SQLModel, table=True):
    """A person whose personal data was erased. Never deleted: exports compare the number of rows."""

    __tablename__ = "erasure"
    __table_args__ = {"schema": "vault"}

    person_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    erased_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class WithdrawnExport(SQLModel, table=True):
    """A stored file that may show an erased person. It cannot be downloaded, and maintenance deletes it."""

    __tablename__ = "withdrawn_exports"

    export_id: UUID = Field(primary_key=True)
    path: str = Field(sa_type=Text)
    withdrawn_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
