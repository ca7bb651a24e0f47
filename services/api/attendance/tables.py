"""The read tables of attendance and of finished drives.

Projections: migrations/functions/project_attendance.sql, project_drive.sql.
"""

from datetime import date, datetime

from sqlalchemy import Index, Integer, Sequence, Text, UniqueConstraint
from sqlmodel import Field, SQLModel, desc

from chassis.eventstore.tables import instant, number


class Mark(SQLModel, table=True):
    """The mark of a student in a drive: ``status`` is PRESENT or ABSENT. Students without a mark have no row."""

    __tablename__ = "attendance"
    __table_args__ = (
        UniqueConstraint("drive_id", "student_id", name="attendance_drive_student_unique"),
        # The settings of the table registrations, plus a fillfactor, because marks may be corrected.
        {
            "postgresql_with": {
                "fillfactor": 90,
                "autovacuum_vacuum_scale_factor": 0.05,
                "autovacuum_vacuum_insert_scale_factor": 0.02,
                "autovacuum_analyze_scale_factor": 0.02,
            }
        },
    )

    attendance_id: int = Field(sa_column=number())
    drive_id: int
    student_id: int
    status: str = Field(sa_type=Text)


class FinishedDrive(SQLModel, table=True):
    """A drive as it was when its attendance was published. ``total_registered`` includes students without a mark."""

    __tablename__ = "finished_drives"

    drive_id: int = Field(sa_column=number())
    finished_date: datetime = Field(sa_column=instant())
    total_registered: int
    total_present: int
    total_absent: int
    company_name: str = Field(sa_type=Text)
    job_title: str = Field(sa_type=Text)
    interview_date: date | None
    pdf_path: str | None = Field(sa_type=Text)
    domain_id: int | None


ATTENDANCE_IDS = Sequence("attendance_id_seq", data_type=Integer, metadata=SQLModel.metadata)

Index("finished_drives_newest", desc(FinishedDrive.finished_date), desc(FinishedDrive.drive_id))
