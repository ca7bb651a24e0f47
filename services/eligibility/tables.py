"""What eligibility owns: the ledger of selections, and the newest evaluation of each drive.

No foreign keys: two of them cost 2.7 times the insert.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import instant, number


class Selection(SQLModel, table=True):
    """Append-only: a student selected again gets a new row. Versions are those of the drive's stream."""

    __tablename__ = "selections"
    # A new selection revokes the old one: up to every row of a drive is updated at once. Full pages, because the insert
    # of a million rows is what an evaluation waits for; dead rows are cleared early instead.
    __table_args__ = {
        "postgresql_with": {
            "autovacuum_vacuum_scale_factor": 0.05,
            "autovacuum_vacuum_insert_scale_factor": 0.05,
            "autovacuum_analyze_scale_factor": 0.02,
        }
    }

    drive_id: int = Field(sa_column=number())
    student_id: int = Field(sa_column=number())
    selected_version: int = Field(sa_column=number(BigInteger))
    selected_at: datetime = Field(sa_column=instant())
    revoked_version: int | None = Field(sa_type=BigInteger)
    revoked_at: datetime | None = Field(sa_column=instant(nullable=True))


class Evaluation(SQLModel, table=True):
    __tablename__ = "evaluations"
    # A small table that each step of a drive's life updates.
    __table_args__ = {"postgresql_with": {"fillfactor": 70}}

    drive_id: int = Field(sa_column=number())
    drive_version: int = Field(sa_type=BigInteger)
    job_id: UUID
    applied: bool
    eligible: int
    selected: int
    evaluated_at: datetime = Field(sa_column=instant())
