"""Notifications, which events project to, and the read marks kept beside them. Projection:
migrations/functions/project_notifications.sql.
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


base.ischema_names["pg_snapshot"] = PgSnapshot  # so that reflection knows it


class Notification(SQLModel, table=True):
    """Written once for an audience.

    ``audience``: a role; ``SELECTED`` or ``DESELECTED``, the students whom version ``drive_version`` of drive
    ``entity_id`` selected or revoked; ``REGISTERED``, those registered for it; or ``USER``, ``user_id`` alone.
    ``notification_id`` is computed from the event's position, so a replay gives the same ids; ``xid`` is the event's.
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
    # Written once; deleted in pages when the drive has gone.
    __table_args__ = {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0.05}}

    user_id: int = Field(sa_column=number())
    notification_id: int = Field(sa_column=number(BigInteger))
    read_at: datetime = Field(sa_column=instant())


class NotificationReadMark(SQLModel, table=True):
    """Marks every notification as read that the snapshot ``seen`` could see.

    Neither a time nor an id would do: a notification may commit after younger ones, and would count as read although it
    was never shown.
    """

    __tablename__ = "notification_read_marks"
    # One row for each user, rewritten whenever they have read everything.
    __table_args__ = {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.05}}

    user_id: int = Field(sa_column=number())
    seen: str = Field(sa_type=PgSnapshot)
    read_at: datetime = Field(sa_column=instant())
