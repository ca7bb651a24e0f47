"""The record of what `migrations/functions` has put into a database."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import written_at


class AppliedObject(SQLModel, table=True):
    """A function, view or set of triggers, as it was last applied. ``release``: the release that applied it."""

    __tablename__ = "schema_object"

    name: str = Field(sa_type=Text, primary_key=True)
    checksum: str = Field(sa_type=Text)
    release: str = Field(sa_type=Text)
    applied_at: datetime = Field(sa_column=written_at())
