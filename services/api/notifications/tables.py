"""Tables of notifications, which are projected from events, and of read marks. Projection: migrations/sql."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import base
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import Xid8


class PgSnapshot(UserDefinedType[str]):
    """The type ``pg_snapshot``: which transactions had committed at a moment."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "pg_snapshot"


base.ischema_names["pg_snapshot"] = PgSnapshot  # so that reflection knows it


def _id(type_: type[Integer] | type[BigInteger] = Integer) -> Column[int]:
    return Column(type_, primary_key=True, autoincrement=False)


def _instant() -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=False)


class Notification(SQLModel, table=True):
    """Written once for an audience: a role, ``SELECTED``, ``DESELECTED``, ``REGISTERED`` or ``USER``."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("event_id", "audience", name="notifications_once_for_each_audience"),
        Index("notifications_newest", "audience", "created_at", "notification_id"),
        Index("notifications_since", "audience", "xid"),
        Index("notifications_of_user", "user_id", "created_at", postgresql_where=text("user_id IS NOT NULL")),
        Index("notifications_of_entity", "entity_type", "entity_id"),
    )

    notification_id: int = Field(sa_column=_id(BigInteger))
    event_id: UUID
    xid: str = Field(sa_type=Xid8)
    audience: str = Field(sa_type=Text)
    user_id: int | None
    drive_version: int | None = Field(sa_type=BigInteger)
    title: str = Field(sa_type=Text)
    message: str = Field(sa_type=Text)
    type: str = Field(sa_type=Text)
    entity_type: str = Field(sa_type=Text)
    entity_id: int
    created_at: datetime = Field(sa_column=_instant())


class NotificationRead(SQLModel, table=True):
    __tablename__ = "notification_reads"

    user_id: int = Field(sa_column=_id())
    notification_id: int = Field(sa_column=_id(BigInteger))
    read_at: datetime = Field(sa_column=_instant())


class NotificationReadMark(SQLModel, table=True):
    """Marks every notification as read that the snapshot ``seen`` could see."""

    __tablename__ = "notification_read_marks"

    user_id: int = Field(sa_column=_id())
    seen: str = Field(sa_type=PgSnapshot)
    read_at: datetime = Field(sa_column=_instant())
