"""What maintenance owns: when each view was refreshed, and what was deleted."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Double, Text
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import instant


class ViewRefresh(SQLModel, table=True):
    """The last refresh of a view. ``refreshed_at``: the moment that it shows; ``snapshot`` (Postgres'
    ``es.log_snapshot()``) says it exactly; ``run_id``: the job it was done for. The same for all views of one
    refresh."""

    __tablename__ = "view_refresh"

    view_name: str = Field(sa_column=Column(Text, primary_key=True))
    refreshed_at: datetime = Field(sa_column=instant())
    began_at: datetime = Field(sa_column=instant())
    finished_at: datetime = Field(sa_column=instant())
    duration_s: float = Field(sa_type=Double)
    rows: int = Field(sa_type=BigInteger)
    run_id: UUID | None
    snapshot: str = Field(sa_type=Text)


class Expiry(SQLModel, table=True):
    """Of ``what`` nothing that was asked for after ``until`` has been deleted."""

    __tablename__ = "expiry"

    what: str = Field(sa_column=Column(Text, primary_key=True))
    until: datetime = Field(sa_column=instant())
