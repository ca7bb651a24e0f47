"""Who has looked at students' records. Partitions and their upkeep: migrations/sql/0027_access_log.sql."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Text, text
from sqlmodel import Field, SQLModel


class AccessRecord(SQLModel, table=True):
    """One read of one student's record, or of many students' (``student_id`` null). Partitioned by month of ``at``."""

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
