"""The table that records which files of `migrations/functions` were applied to a database."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import written_at


class AppliedObject(SQLModel, table=True):
    """The last application of a function, view or set of triggers. ``release``: the release that applied it."""

    __tablename__ = "schema_object"

    name: str = Field(sa_type=Text, primary_key=True)
    checksum: str = Field(sa_type=Text)
    release: str = Field(sa_type=Text)
    applied_at: datetime = Field(sa_column=written_at())
