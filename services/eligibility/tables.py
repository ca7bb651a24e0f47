"""Tables of the eligibility service: the ledger of selections, and the newest evaluation of each drive."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Integer
from sqlmodel import Field, SQLModel


class Selection(SQLModel, table=True):
    """Append-only: a student selected again gets a new row. Versions are those of the drive's stream."""

    __tablename__ = "selections"

    drive_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    student_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    selected_version: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    selected_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    revoked_version: int | None = Field(sa_type=BigInteger)
    revoked_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))


class Evaluation(SQLModel, table=True):
    __tablename__ = "evaluations"

    drive_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    drive_version: int = Field(sa_type=BigInteger)
    job_id: UUID
    applied: bool
    eligible: int
    selected: int
    evaluated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
