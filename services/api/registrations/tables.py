"""Read table of registrations. Projection and ``register``: migrations/sql/0002_registrations.sql."""

from datetime import datetime

from sqlalchemy import Column, DateTime, Index, Integer, UniqueConstraint
from sqlmodel import Field, SQLModel


class Registration(SQLModel, table=True):
    __tablename__ = "registrations"
    __table_args__ = (
        UniqueConstraint("drive_id", "student_id", name="registrations_drive_student_unique"),
        Index("registrations_of_student", "student_id", "registration_id"),
    )

    registration_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    drive_id: int
    student_id: int
    registered_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
