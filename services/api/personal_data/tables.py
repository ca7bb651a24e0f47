"""Tables that record who looked at students' records, and whose personal data was erased.

Functions: migrations/functions/maintain_access_log.sql, vault.erase_person.sql.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Text, text
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import number, written_at


class AccessRecord(SQLModel, table=True):
    """An access to the record of one student, or to a list of students (``student_id`` null).

    The table is partitioned by month of ``at`` (migrations/functions/maintain_access_log.sql).
    """

    __tablename__ = "access_log"
    __table_args__ = (
        Index("access_log_of_student", "student_id", "at", postgresql_where=text("student_id IS NOT NULL")),
        Index("access_log_of_lists", "at", postgresql_where=text("student_id IS NULL")),
        Index("access_log_of_reader", "reader_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), primary_key=True, server_default=text("clock_timestamp()"))
    )
    reader_id: int
    reader_role: str = Field(sa_type=Text)
    operation: str = Field(sa_type=Text)
    student_id: int | None
    correlation_id: UUID


class Erasure(SQLModel, table=True):
    """A person whose personal data was erased. Rows are never deleted, because exports compare their number."""

    __tablename__ = "erasure"
    __table_args__ = {"schema": "vault"}

    person_id: int = Field(sa_column=number())
    erased_at: datetime = Field(sa_column=written_at())


class WithdrawnExport(SQLModel, table=True):
    """A stored file that may show an erased person. It cannot be downloaded, and maintenance deletes it."""

    __tablename__ = "withdrawn_exports"

    export_id: UUID = Field(primary_key=True)
    path: str = Field(sa_type=Text)
    withdrawn_at: datetime = Field(sa_column=written_at())
