"""Read tables of attendance and of finished drives. Projections: migrations/sql/0002_registrations.sql."""

from datetime import date, datetime

from sqlalchemy import Column, DateTime, Index, Integer, Text, UniqueConstraint
from sqlmodel import Field, SQLModel, desc


class Mark(SQLModel, table=True):
    """Only students whose attendance was marked; ``status`` is PRESENT or ABSENT."""

    __tablename__ = "attendance"
    __table_args__ = (UniqueConstraint("drive_id", "student_id", name="attendance_drive_student_unique"),)

    attendance_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    drive_id: int
    student_id: int
    status: str = Field(sa_type=Text)


class FinishedDrive(SQLModel, table=True):
    """A drive as it was when its attendance was published. ``total_registered`` includes students without a mark."""

    __tablename__ = "finished_drives"

    drive_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    finished_date: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    total_registered: int
    total_present: int
    total_absent: int
    company_name: str = Field(sa_type=Text)
    job_title: str = Field(sa_type=Text)
    interview_date: date | None
    pdf_path: str | None = Field(sa_type=Text)
    domain_id: int | None


Index("finished_drives_newest", desc(FinishedDrive.finished_date), desc(FinishedDrive.drive_id))
