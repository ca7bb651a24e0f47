"""Tables of the maintenance service: the last refresh of each view, and the progress of deletions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Double, Text
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import instant


class ViewRefresh(SQLModel, table=True):
    """The last refresh of a view. ``refreshed_at``: the moment that the view shows.

    ``snapshot``: the transactions that the view shows (``es.log_snapshot()``). ``run_id``: the job that requested the
    refresh. All views of one refresh have the same values.
    """

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
    """The progress of deletions of ``what``. Nothing that was requested after ``until`` has been deleted."""

    __tablename__ = "expiry"

    what: str = Field(sa_column=Column(Text, primary_key=True))
    until: datetime = Field(sa_column=instant())
