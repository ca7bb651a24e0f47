"""The read table of notifications, and the tables of read marks, which the API writes directly.

Projection: migrations/functions/project_notifications.sql.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import base
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel

from chassis.eventstore.tables import Xid8, instant, number


class PgSnapshot(UserDefinedType[str]):
    """The type ``pg_snapshot``: which transactions had committed at a moment."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "pg_snapshot"


base.ischema_names["pg_snapshot"] = PgSnapshot  # so that reflection knows the type


class Notification(SQLModel, table=True):
    """A notification. One row serves its whole audience.

    ``audience`` is one of: a role; ``SELECTED`` or ``DESELECTED`` (the students whom version ``drive_version`` of the
    drive ``entity_id`` selected or revoked); ``REGISTERED`` (the students registered for that drive); ``USER`` (the
    user ``user_id``). ``notification_id`` is computed from the event's position, so a replay gives the same ids.
    ``xid``: the transaction id of the event.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("event_id", "audience", name="notifications_once_for_each_audience"),
        Index("notifications_newest", "audience", "created_at", "notification_id"),
        Index("notifications_since", "audience", "xid"),
        Index("notifications_of_user", "user_id", "created_at", postgresql_where=text("user_id IS NOT NULL")),
        Index("notifications_of_entity", "entity_type", "entity_id"),
    )

    notification_id: int = Field(sa_column=number(BigInteger))
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
    created_at: datetime = Field(sa_column=instant())


class NotificationRead(SQLModel, table=True):
    __tablename__ = "notification_reads"
    # Rows never change. They are deleted in pages after the drive was deleted.
    __table_args__ = {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0.05}}

    user_id: int = Field(sa_column=number())
    notification_id: int = Field(sa_column=number(BigInteger))
    read_at: datetime = Field(sa_column=instant())


class NotificationReadMark(SQLModel, table=True):
    """A mark that the user has read every notification that is visible in the snapshot ``seen``.

    A time or an id is not enough, because a notification may commit after newer ones. It would then count as read
    although the user never saw it.
    """

    __tablename__ = "notification_read_marks"
    # One row per user. It is updated each time that the user marks everything as read.
    __table_args__ = {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.05}}

    user_id: int = Field(sa_column=number())
    seen: str = Field(sa_type=PgSnapshot)
    read_at: datetime = Field(sa_column=instant())
