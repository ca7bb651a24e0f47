"""The read table of registrations.

Functions: migrations/functions/register.sql, project_registration.sql.
"""

from datetime import datetime

from sqlalchemy import Index, Integer, Sequence, UniqueConstraint
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import instant, number


class Registration(SQLModel, table=True):
    __tablename__ = "registrations"
    __table_args__ = (
        UniqueConstraint("drive_id", "student_id", name="registrations_drive_student_unique"),
        Index("registrations_of_student", "student_id", "registration_id"),
        # Bursts insert a hundred thousand rows, and index-only scans read them right afterwards. So vacuum and analyze
        # must run often.
        {
            "postgresql_with": {
                "autovacuum_vacuum_insert_scale_factor": 0.02,
                "autovacuum_analyze_scale_factor": 0.02,
            }
        },
    )

    registration_id: int = Field(sa_column=number())
    drive_id: int
    student_id: int
    registered_at: datetime = Field(sa_column=instant())


REGISTRATION_IDS = Sequence("registration_id_seq", data_type=Integer, metadata=SQLModel.metadata)
