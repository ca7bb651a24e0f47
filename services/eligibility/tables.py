"""Tables of the eligibility service: the ledger of selections, and the newest evaluation of each drive.

They have no foreign keys, because two of them make the insert take 2.7 times as long.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import instant, number


class Selection(SQLModel, table=True):
    """A selection of a student. A student who is selected again gets a new row. Versions are of the drive's stream."""

    __tablename__ = "selections"
    # One evaluation may update every row of a drive. Pages are still filled completely, because the insert of up to a
    # million rows dominates an evaluation. Instead, autovacuum removes dead rows early.
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
    # A small table whose rows are updated often.
    __table_args__ = {"postgresql_with": {"fillfactor": 70}}

    drive_id: int = Field(sa_column=number())
    drive_version: int = Field(sa_type=BigInteger)
    job_id: UUID
    applied: bool
    eligible: int
    selected: int
    evaluated_at: datetime = Field(sa_column=instant())
