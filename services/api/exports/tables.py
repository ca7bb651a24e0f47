"""Read table of exports. Projection: migrations/sql/0005_exports.sql."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Index, Text, text
from sqlmodel import Field, SQLModel, col, desc


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class Export(SQLModel, table=True):
    """``export_id`` is also the id of its job."""

    __tablename__ = "exports"

    export_id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=Text)
    format: str = Field(sa_type=Text)
    drive_id: int | None
    columns: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    byte_order_mark: bool
    delimiter: str = Field(sa_type=Text)
    requested_by: int | None
    requested_at: datetime = Field(sa_column=_instant())
    state: str = Field(sa_type=Text)
    path: str | None = Field(sa_type=Text)
    rows: int | None = Field(sa_type=BigInteger)
    size_bytes: int | None = Field(sa_type=BigInteger)
    sha256: str | None = Field(sa_type=Text)
    snapshot: str | None = Field(sa_type=Text)
    ended_at: datetime | None = Field(sa_column=_instant(nullable=True))
    expires_at: datetime | None = Field(sa_column=_instant(nullable=True))
    reason: str | None = Field(sa_type=Text)


Index("exports_newest", desc(Export.requested_at), desc(Export.export_id))
Index("exports_expiring", col(Export.expires_at), col(Export.export_id), postgresql_where=text("state = 'completed'"))
Index("exports_of_user", col(Export.requested_by), desc(Export.requested_at), desc(Export.export_id))
